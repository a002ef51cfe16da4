//! Frames against recordings of a real service and its peers.
#![allow(clippy::unwrap_used)]

use osmo_protocol::logger::{
    Action, Barrier, BarrierType, ClientFrame, GroupMetricType, Line, Metric, Metrics, MetricsType,
    logger_path,
};
use osmo_protocol::router::{DialBack, PairKind, Side, UdpSource, pair_path};
use osmo_protocol::token::{TokenAnswer, TokenRequest, refresh_path};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::path::PathBuf;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/transcripts")
}

fn recording(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(fixtures().join(format!("{name}.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn all() -> Vec<Value> {
    let mut names: Vec<String> = std::fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned))
        .collect();
    names.sort();
    names.iter().flat_map(|name| recording(name)).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// What a recorded sidecar meant, rebuilt from the inner JSON.
fn rebuild(inner: &Value) -> ClientFrame {
    let owned = |value: &Value, key: &str| text(value, key).to_owned();
    match text(inner, "IOType") {
        "BARRIER" => ClientFrame::Barrier(Barrier {
            name: owned(inner, "Name"),
            count: inner["Count"].as_i64().unwrap(),
            io_type: BarrierType::Barrier,
        }),
        "METRICS" => {
            let sent = &inner["Metric"];
            let (retry_id, start_time, end_time) =
                (owned(sent, "retry_id"), owned(sent, "start_time"), owned(sent, "end_time"));
            let metric = if inner["MetricType"] == "group_metrics" {
                let type_of_metrics = match text(sent, "type_of_metrics") {
                    "input_download" => GroupMetricType::InputDownload,
                    "output_upload" => GroupMetricType::OutputUpload,
                    other => panic!("unknown phase {other}"),
                };
                Metric::GroupMetrics { retry_id, start_time, end_time, type_of_metrics }
            } else {
                Metric::TaskIoMetrics {
                    retry_id,
                    group_name: owned(sent, "group_name"),
                    task_name: owned(sent, "task_name"),
                    url: owned(sent, "url"),
                    io_type: owned(sent, "type"),
                    start_time,
                    end_time,
                    size_in_bytes: sent["size_in_bytes"].as_u64().unwrap(),
                    number_of_files: sent["number_of_files"].as_u64().unwrap(),
                    operation_type: owned(sent, "operation_type"),
                    download_type: owned(sent, "download_type"),
                }
            };
            let (source, time) = (owned(inner, "Source"), owned(inner, "Time"));
            ClientFrame::Metrics(Metrics { source, time, io_type: MetricsType::Metrics, metric })
        }
        _ => ClientFrame::Line(serde_json::from_value::<Line>(inner.clone()).unwrap()),
    }
}

#[test]
fn frames_of_the_sidecar_are_byte_identical() {
    let files = [
        "logger-lines",
        "logger-500-lines",
        "logger-finished-task",
        "logger-masking",
        "logger-metrics-ok",
        "barrier-two-members",
        "barrier-explicit-count",
        "action-exec",
    ];
    let mut checked = 0;
    for file in files {
        for event in recording(file).iter().filter(|e| e["from"] == "client" && e["kind"] == "text")
        {
            let recorded = text(event, "data");
            let inner: String = serde_json::from_str(recorded).unwrap();
            let inner: Value = serde_json::from_str(&inner).unwrap();
            if inner["Metric"]["retry_id"].is_number() {
                continue; // one recording tries a number; this crate writes text
            }
            assert_eq!(rebuild(&inner).encode(), recorded, "{file}");
            checked += 1;
        }
    }
    assert!(checked > 500, "{checked} frames");
}

#[test]
fn odd_text_survives_both_encodings() {
    let mut checked = 0;
    for event in recording("logger-odd-text").iter().filter(|e| e["kind"] == "text") {
        if event["from"] != "client" {
            continue;
        }
        let decode = |frame: &str| -> Value {
            serde_json::from_str(&serde_json::from_str::<String>(frame).unwrap()).unwrap()
        };
        let recorded = decode(text(event, "data"));
        assert_eq!(decode(&rebuild(&recorded).encode()), recorded);
        checked += 1;
    }
    assert_eq!(checked, 9);
}

#[test]
fn every_recorded_action_is_understood_and_written_to_the_byte() {
    let mut checked = 0;
    for event in all() {
        let is_frame = event["kind"] == "text" || event["kind"] == "binary";
        if event["from"] != "service" || event["channel"] != "logger" || !is_frame {
            continue;
        }
        let data = text(&event, "data");
        let action = Action::decode(data.as_bytes()).unwrap();
        assert_ne!(action, Action::Unknown, "{data}");
        assert_eq!(action.encode(), data);
        checked += 1;
    }
    assert!(checked > 60, "{checked} actions");
}

#[test]
fn unknown_actions_and_keys_are_no_error() {
    let later = Action::decode(br#"{"action":"dance","tempo":3}"#).unwrap();
    assert_eq!(later, Action::Unknown);
    let extra = Action::decode(br#"{"action":"restart","why":"x"}"#).unwrap();
    assert_eq!(extra, Action::Restart);
    for bad in ["", "null", "[]", "{}", r#"{"action":"exec","key":"EXEC-1"}"#] {
        assert!(Action::decode(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn token_answers_are_told_apart() {
    let mut counts = [0; 5];
    for file in ["token-ok", "token-get-deprecated", "token-bad", "token-finished", "token-pending"]
    {
        for event in recording(file).iter().filter(|e| e["kind"] == "http-response") {
            let code = u16::try_from(event["code"].as_u64().unwrap()).unwrap();
            let body = text(event, "data");
            let answer = TokenAnswer::read(code, body.as_bytes());
            let class = match answer {
                TokenAnswer::Granted { token, expires_at } => {
                    assert_eq!(token, "<jwt>");
                    assert!(body.contains(&expires_at.to_string()));
                    0
                }
                TokenAnswer::Finished => {
                    assert!(body.contains("FINISHED"));
                    1
                }
                TokenAnswer::Pending => {
                    assert!(body.contains("PENDING"));
                    2
                }
                TokenAnswer::Refused(message) => {
                    assert!(!message.is_empty() && (400..500).contains(&code));
                    3
                }
                TokenAnswer::Unclear(_) => {
                    assert_eq!(code, 500);
                    4
                }
            };
            counts[class] += 1;
        }
    }
    assert_eq!(counts, [8, 8, 1, 9, 5], "granted, finished, pending, refused, unclear");
}

#[test]
fn the_token_call_is_written_alike() {
    for event in recording("token-ok").iter().filter(|e| e["kind"] == "http-request") {
        assert_eq!(text(event, "path"), refresh_path("wf-1", "g", "t1", 0));
        let recorded: Value = serde_json::from_str(text(event, "data")).unwrap();
        let request: TokenRequest = serde_json::from_value(recorded.clone()).unwrap();
        assert_eq!(serde_json::to_value(request).unwrap(), recorded);
    }
}

#[test]
fn paths_are_those_that_were_dialled() {
    let mut checked = 0;
    // A browser dials the task's own paths.
    let is_browser =
        |event: &Value| event["conn"].as_str().is_some_and(|name| name.starts_with("browser"));
    let ours = |event: &&Value| event["kind"] == "open" && !is_browser(event);
    for event in all().iter().filter(ours) {
        let path = text(event, "path");
        let parts: Vec<&str> = path.trim_start_matches('/').split(['/', '?']).collect();
        match parts.as_slice() {
            [_, "logger", _, workflow, _, task, _, retry] => {
                let Ok(retry) = retry.parse() else { continue };
                assert_eq!(logger_path(workflow, task, retry), path);
            }
            [_, "router", kind, workflow, side, key, query @ ..] => {
                let kinds =
                    [PairKind::Exec, PairKind::PortForward, PairKind::Rsync, PairKind::WebServer];
                let Some(kind) = kinds.into_iter().find(|k| k.as_str() == *kind) else { continue };
                let side = if *side == "backend" { Side::Backend } else { Side::Client };
                let query = query.iter().map(|query| format!("?{query}")).collect::<String>();
                assert_eq!(pair_path(kind, workflow, side, key) + &query, path);
            }
            _ => panic!("an unknown path: {path}"),
        }
        checked += 1;
    }
    assert!(checked > 100, "{checked} paths");
}

#[test]
fn names_with_odd_characters_stay_one_segment() {
    assert_eq!(
        logger_path("wf/1", "t 1?", 3),
        "/api/logger/workflow/wf%2F1/osmo_ctrl/t%201%3F/retry_id/3"
    );
}

#[test]
fn control_pairs_name_the_data_pair() {
    for event in recording("rsync-pair").iter().filter(|e| e["conn"] == "control") {
        let Some(data) = event["data"].as_str() else { continue };
        let dial: DialBack = serde_json::from_str(data).unwrap();
        let recorded: Value = serde_json::from_str(data).unwrap();
        assert!(dial.key.starts_with("PORTFORWARD-"));
        assert_eq!(serde_json::to_value(dial).unwrap(), recorded);
    }
}

/// The datagrams of `portforward-udp`: 127.0.0.1:40001 and 10.1.2.3:258.
#[test]
fn datagrams_carry_their_source() {
    let message = b"\x0a\x01\x02\x03\x01\x02\x00\xff";
    let (source, datagram) = UdpSource::split(message).unwrap();
    assert_eq!(source, UdpSource { address: Ipv4Addr::new(10, 1, 2, 3), port: 258 });
    assert_eq!(datagram, b"\x00\xff");
    assert_eq!(source.encode(), message[..6]);
    let (source, datagram) = UdpSource::split(b"\x7f\x00\x00\x01\x9c\x41").unwrap();
    assert_eq!(source, UdpSource { address: Ipv4Addr::LOCALHOST, port: 40_001 });
    assert_eq!(datagram, b"");
    assert_eq!(UdpSource::split(b"\x7f\x00\x00\x01\x9c"), None);
}
