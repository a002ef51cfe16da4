//! The logger WebSocket: lines, barrier and metrics out, actions in.

use osmo_protocol::logger::{
    Action, Barrier, BarrierType, ClientFrame, GroupMetricType, Line, LineType, Metric, Metrics,
    MetricsType, Route, logger_path,
};

use super::{expect_every, golden, text, variants};

const TIME: &str = "2026-01-02T03:04:05.123456789Z";
const START: &str = "2026-01-02 03:04:05.000";
const END: &str = "2026-01-02 03:04:06.000";

fn line(io_type: LineType) -> ClientFrame {
    let text = if io_type == LineType::LogDone { "" } else { "hello" };
    ClientFrame::Line(Line { source: "t1".into(), time: TIME.into(), text: text.into(), io_type })
}

fn metrics(metric: Metric) -> ClientFrame {
    let (source, time) = ("t1".to_owned(), TIME.to_owned());
    ClientFrame::Metrics(Metrics { source, time, io_type: MetricsType::Metrics, metric })
}

fn group(type_of_metrics: GroupMetricType) -> Metric {
    let (start_time, end_time) = (START.to_owned(), END.to_owned());
    Metric::GroupMetrics { retry_id: "0".into(), start_time, end_time, type_of_metrics }
}

fn io(io_type: &str, url: &str, files: u64, words: [&str; 2]) -> Metric {
    let [operation_type, download_type] = words.map(str::to_owned);
    Metric::TaskIoMetrics {
        retry_id: "0".into(),
        group_name: "g".into(),
        task_name: "t1".into(),
        url: url.into(),
        io_type: io_type.into(),
        start_time: START.into(),
        end_time: END.into(),
        size_in_bytes: 5,
        number_of_files: files,
        operation_type,
        download_type,
    }
}

const LINES: [(&str, LineType); 6] = [
    ("logger/STDOUT.json", LineType::Stdout),
    ("logger/STDERR.json", LineType::Stderr),
    ("logger/OSMO_CTRL.json", LineType::OsmoCtrl),
    ("logger/DOWNLOAD.json", LineType::Download),
    ("logger/UPLOAD.json", LineType::Upload),
    ("logger/LOG_DONE.json", LineType::LogDone),
];

const PHASES: [(&str, GroupMetricType); 2] = [
    ("logger/METRICS-input_download.json", GroupMetricType::InputDownload),
    ("logger/METRICS-output_upload.json", GroupMetricType::OutputUpload),
];

fn transfers() -> [(&'static str, Metric); 2] {
    [
        ("logger/METRICS-INPUT.json", io("INPUT", "s3://b/x", 1, ["Url", "download"])),
        ("logger/METRICS-RSYNC_INPUT.json", io("RSYNC_INPUT", "", 0, ["", "N/A"])),
    ]
}

fn frames() -> Vec<(&'static str, ClientFrame)> {
    let name = "osmo-group-ready".to_owned();
    let barrier = Barrier { name, count: -1, io_type: BarrierType::Barrier };
    let mut all = vec![("logger/BARRIER.json", ClientFrame::Barrier(barrier))];
    all.extend(LINES.map(|(name, kind)| (name, line(kind))));
    all.extend(PHASES.map(|(name, phase)| (name, metrics(group(phase)))));
    all.extend(transfers().map(|(name, metric)| (name, metrics(metric))));
    all
}

fn route(key: &str) -> Route {
    let router_address = "ws://127.0.0.1:58001".to_owned();
    Route { router_address, key: key.into(), cookie: String::new() }
}

fn exec(key: &str, command: &str) -> Action {
    Action::Exec { route: route(key), entry_command: command.into() }
}

fn forward(key: &str, task_port: u16, use_udp: bool) -> Action {
    Action::PortForward { route: route(key), task_port, use_udp }
}

fn actions() -> Vec<(&'static str, Action)> {
    vec![
        ("action/log_done.json", Action::LogDone),
        ("action/barrier.json", Action::Barrier),
        ("action/restart.json", Action::Restart),
        ("action/exec.json", exec("EXEC-d32afd01e7be479a81a3c45bcb30460a", "/bin/sh")),
        (
            "action/exec-quoted.json",
            exec("EXEC-0ec8cc7b53d0433da26d2172a9b68b7f", "sh -c \"echo 'a b' é\""),
        ),
        (
            "action/portforward.json",
            forward("PORTFORWARD-5e44816fe98b4e72955f0c594a3722d4", 8080, false),
        ),
        (
            "action/portforward-udp.json",
            forward("PORTFORWARD-7faa28c5cc0e41279267be4873eb6d9a", 9000, true),
        ),
        (
            "action/webserver.json",
            Action::WebServer {
                route: route("WEBSERVER-8fd04e864b614feaa27aa2272aa1dd30"),
                task_port: 8000,
            },
        ),
        (
            "action/rsync.json",
            Action::Rsync {
                route: route("RSYNC-f54b86b476ea4e34b7c73bc2783f9a70"),
                enable_telemetry: false,
            },
        ),
        ("action/unknown.json", Action::Unknown),
    ]
}

pub(super) fn files() -> Vec<&'static str> {
    let frames = frames().into_iter().map(|(name, _)| name);
    let actions = actions().into_iter().map(|(name, _)| name);
    frames.chain(actions).chain(["logger/path.txt"]).collect()
}

#[test]
fn every_frame_has_a_file() {
    let frames = frames().into_iter().map(|(_, frame)| frame);
    expect_every(variants!(ClientFrame: Line Barrier Metrics), frames);
    let kinds = variants!(LineType: Stdout Stderr OsmoCtrl Download Upload LogDone);
    expect_every(kinds, LINES.map(|(_, kind)| kind));
    let phases = variants!(GroupMetricType: InputDownload OutputUpload);
    expect_every(phases, PHASES.map(|(_, phase)| phase));
    let [(_, transfer), _] = transfers();
    let metrics = [group(GroupMetricType::InputDownload), transfer];
    expect_every(variants!(Metric: GroupMetrics TaskIoMetrics), metrics);
    let known = variants!(Action: LogDone Barrier Restart Exec PortForward WebServer Rsync Unknown);
    expect_every(known, actions().into_iter().map(|(_, action)| action));
}

#[test]
fn the_bytes_are_written() {
    for (name, frame) in frames() {
        assert_eq!(frame.encode(), text(name), "{name}");
    }
    assert_eq!(logger_path("wf-1", "t1", 0), text("logger/path.txt"));
}

/// The sidecar reads them, the local service writes them.
#[test]
fn actions_are_read_and_written() {
    for (name, action) in actions() {
        assert_eq!(Action::decode(&golden(name)).unwrap(), action, "{name}");
        if action != Action::Unknown {
            assert_eq!(action.encode(), text(name), "{name}");
        }
    }
}

/// An older service leaves out what it does not know.
#[test]
fn keys_with_a_default_may_be_absent() {
    for (name, key) in [
        ("action/exec.json", "\"cookie\": \"\", "),
        ("action/portforward.json", ", \"use_udp\": false"),
        ("action/rsync.json", ", \"enable_telemetry\": false"),
    ] {
        let (whole, without) = (text(name), text(name).replace(key, ""));
        assert_ne!(whole, without, "{name}");
        let read = |text: &str| Action::decode(text.as_bytes()).unwrap();
        assert_eq!(read(&whole), read(&without), "{name}");
    }
}
