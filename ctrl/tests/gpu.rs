//! GPUs beside the task: told where there are some, and nothing said where
//! there are none. The library is a stub by the system's name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Agent, Service, Sidecar, TOKEN, WATCHDOG};
use osmo_protocol::socket::Frame;
use serde_json::{Value, json};

fn page(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn stub() -> std::path::PathBuf {
    std::env::current_exe().unwrap().with_file_name("libosmo_nvml_stub.so")
}

/// Runs a task whose library folder is `folder`; what `/metrics` told once
/// `enough`, and the summary.
fn run(folder: &Path, enough: impl Fn(&str) -> bool) -> (String, Value) {
    let service = Service::start(200, TOKEN, &[]);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let sidecar = Sidecar::start_with(
        service.port,
        &["-health", &format!("127.0.0.1:{port}")],
        &[
            ("LD_LIBRARY_PATH", folder.to_str().unwrap()),
            ("OSMO_NVML_STUB", folder.join("profile.json").to_str().unwrap()),
        ],
    );
    let mut agent = Agent::good(&sidecar);
    agent.wait_for_start();
    let begin = Instant::now();
    let text = loop {
        let text = page(port);
        if enough(&text) {
            break text;
        }
        assert!(begin.elapsed() < WATCHDOG, "{text}");
        std::thread::sleep(Duration::from_millis(50));
    };
    agent.say(&Frame::ExecFinished);
    let (code, _, mut events) = sidecar.end();
    assert_eq!(code, Some(0));
    (text, events.pop().unwrap())
}

fn in_run(text: &str) -> bool {
    text.contains("osmo_phase_info{phase=\"run\"} 1")
}

/// A folder with the stub by the system's name, and its profile.
fn library(profile: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(stub(), folder.path().join("libnvidia-ml.so.1")).unwrap();
    std::fs::write(folder.path().join("profile.json"), profile.to_string()).unwrap();
    folder
}

/// As a GPU of unified memory does.
#[test]
fn a_gpu_that_tells_no_memory_has_no_peak() {
    let folder = library(&json!({"gpus": [{"nvmlDeviceGetUtilizationRates": {"gpu": 25}}]}));
    let (text, summary) =
        run(folder.path(), |text| text.contains("osmo_gpu_utilization_ratio{gpu=\"0\"} 0.25"));
    assert!(!text.contains("osmo_gpu_memory_used_bytes{"), "{text}");
    let gpu = &summary["gpu"];
    assert_eq!((&gpu["gpus"], &gpu["memory_used_bytes_peak"]), (&json!(1), &Value::Null));
}

#[test]
fn gpus_are_told_by_the_metrics_and_the_summary() {
    let gpu = |used: u64, share: u32| {
        json!({"nvmlDeviceGetMemoryInfo_v2": {"total": 16106127360_u64, "used": used, "free": 0, "reserved": 0},
            "nvmlDeviceGetUtilizationRates": {"gpu": share, "memory": 0}})
    };
    let profile = json!({"gpus": [gpu(1_000, 25), gpu(2_000, 75), {}]});
    let folder = library(&profile);
    let (text, summary) = run(folder.path(), |text| text.contains("osmo_gpu_memory_used_bytes{"));
    for line in [
        "osmo_gpu_memory_used_bytes{gpu=\"0\"} 1000",
        "osmo_gpu_memory_used_bytes{gpu=\"1\"} 2000",
        "osmo_gpu_memory_total_bytes{gpu=\"1\"} 16106127360",
        "osmo_gpu_utilization_ratio{gpu=\"0\"} 0.25",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("{gpu=\"2\"}"), "the third cannot tell");
    assert_eq!(
        summary["gpu"],
        json!({"gpus": 3, "memory_used_bytes_peak": 3000, "utilization_mean": 0.5}),
        "{summary}"
    );
}

#[test]
fn without_a_gpu_nothing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    // A library without a driver: what a node without a card may have.
    std::fs::copy(stub(), folder.path().join("libnvidia-ml.so.1")).unwrap();
    let (text, summary) = run(folder.path(), in_run);
    assert!(!text.contains("osmo_gpu_memory_used_bytes{"), "{text}");
    assert!(!summary.to_string().contains("gpu"), "{summary}");
}
