//! The local service against recordings of the real one.
//!
//! Every recording of the set, and what becomes of it here:
//!
//! | recordings | |
//! |---|---|
//! | `token-*`, `logger-*`, `barrier-*`, `action-*`, `router-*` | replayed, all of them |
//! | `portforward-*`, `rsync-pair` | replayed |
//! | `webserver-*` | replayed, with the browsers' requests |
//! | `cli-*` | not replayed: they show the command line's side, not the service's |
//! | `agent-*` | not replayed: the operator's sockets are not served |
//! | `workflow-*` | not replayed: nothing is scheduled here |
//!
//! What differs from a recording on purpose: silences last 200 ms, pings and
//! waits are shorter, times of expiry and random keys are checked for form and
//! consistency, the task's log limit (approximate in the real service) for
//! its range; pings are expected only in `*-ping`; in `logger-masking` the
//! credential is set directly.
#![allow(clippy::unwrap_used)]

mod replay;

macro_rules! recordings {
    ($($test:ident => $name:literal,)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                replay::replay($name).await;
            }
        )*

        #[test]
        fn every_fixture_is_replayed() {
            let mut files: Vec<String> = std::fs::read_dir(replay::fixtures())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned))
                .collect();
            files.sort();
            let mut replayed = vec![$($name.to_owned()),*];
            replayed.sort();
            assert_eq!(files, replayed);
        }
    };
}

recordings! {
    action_exec => "action-exec",
    action_exec_group => "action-exec-group",
    action_exec_quoted_command => "action-exec-quoted-command",
    action_missing_key => "action-missing-key",
    action_portforward_tcp => "action-portforward-tcp",
    action_portforward_udp => "action-portforward-udp",
    action_queued_before_connect => "action-queued-before-connect",
    action_refused => "action-refused",
    action_restart => "action-restart",
    action_rsync => "action-rsync",
    action_two_connections => "action-two-connections",
    action_webserver => "action-webserver",
    barrier_explicit_count => "barrier-explicit-count",
    barrier_member_finished => "barrier-member-finished",
    barrier_member_reconnects => "barrier-member-reconnects",
    barrier_resend_while_waiting => "barrier-resend-while-waiting",
    barrier_two_members => "barrier-two-members",
    logger_500_lines => "logger-500-lines",
    logger_bad_time => "logger-bad-time",
    logger_binary_frame => "logger-binary-frame",
    logger_close_codes => "logger-close-codes",
    logger_empty_frame => "logger-empty-frame",
    logger_finished_task => "logger-finished-task",
    logger_fragmented => "logger-fragmented",
    logger_inner_not_json => "logger-inner-not-json",
    logger_invalid_utf8 => "logger-invalid-utf8",
    logger_key_case => "logger-key-case",
    logger_lines => "logger-lines",
    logger_lines_ctrl_only => "logger-lines-ctrl-only",
    logger_lone_surrogate => "logger-lone-surrogate",
    logger_long_lines => "logger-long-lines",
    logger_masking => "logger-masking",
    logger_metric_bad => "logger-metric-bad",
    logger_metrics_ok => "logger-metrics-ok",
    logger_metrics_variants => "logger-metrics-variants",
    logger_no_source => "logger-no-source",
    logger_no_text => "logger-no-text",
    logger_not_json => "logger-not-json",
    logger_null_text => "logger-null-text",
    logger_odd_text => "logger-odd-text",
    logger_ping => "logger-ping",
    logger_plain_object => "logger-plain-object",
    logger_task_log_limit => "logger-task-log-limit",
    logger_time_formats => "logger-time-formats",
    logger_too_long => "logger-too-long",
    logger_unknown_iotype => "logger-unknown-iotype",
    logger_unknown_retry => "logger-unknown-retry",
    logger_unknown_task => "logger-unknown-task",
    logger_unknown_workflow => "logger-unknown-workflow",
    portforward_concurrent => "portforward-concurrent",
    portforward_refused => "portforward-refused",
    portforward_tcp => "portforward-tcp",
    portforward_udp => "portforward-udp",
    router_backend_closes => "router-backend-closes",
    router_backend_reset => "router-backend-reset",
    router_backend_timeout => "router-backend-timeout",
    router_client_closes => "router-client-closes",
    router_client_reset => "router-client-reset",
    router_client_timeout => "router-client-timeout",
    router_client_timeout_default => "router-client-timeout-default",
    router_data_then_close => "router-data-then-close",
    router_early_data => "router-early-data",
    router_empty_from_backend => "router-empty-from-backend",
    router_empty_from_client => "router-empty-from-client",
    router_exec => "router-exec",
    router_exec_backend_first => "router-exec-backend-first",
    router_headers => "router-headers",
    router_key_again => "router-key-again",
    router_leaves_while_waiting => "router-leaves-while-waiting",
    router_order_and_bytes => "router-order-and-bytes",
    router_path_aliases => "router-path-aliases",
    router_ping => "router-ping",
    router_second_backend => "router-second-backend",
    router_second_client => "router-second-client",
    router_text_from_backend => "router-text-from-backend",
    router_text_from_client => "router-text-from-client",
    router_too_big => "router-too-big",
    router_two_clients_no_backend => "router-two-clients-no-backend",
    router_version => "router-version",
    rsync_pair => "rsync-pair",
    token_bad => "token-bad",
    token_finished => "token-finished",
    token_get_deprecated => "token-get-deprecated",
    token_ok => "token-ok",
    token_pending => "token-pending",
    webserver_alive => "webserver-alive",
    webserver_backend_never_dials => "webserver-backend-never-dials",
    webserver_body_in_pieces => "webserver-body-in-pieces",
    webserver_browser_leaves => "webserver-browser-leaves",
    webserver_chunked => "webserver-chunked",
    webserver_control_replaced => "webserver-control-replaced",
    webserver_forwarded_host => "webserver-forwarded-host",
    webserver_get => "webserver-get",
    webserver_get_with_body => "webserver-get-with-body",
    webserver_head_only_then_body => "webserver-head-only-then-body",
    webserver_head_request => "webserver-head-request",
    webserver_no_length => "webserver-no-length",
    webserver_odd_heads => "webserver-odd-heads",
    webserver_parallel => "webserver-parallel",
    webserver_post => "webserver-post",
    webserver_short_body => "webserver-short-body",
    webserver_split_head => "webserver-split-head",
    webserver_text_reply => "webserver-text-reply",
    webserver_websocket => "webserver-websocket",
    webserver_websocket_task_closes => "webserver-websocket-task-closes",
    webserver_websocket_unknown => "webserver-websocket-unknown",
}
