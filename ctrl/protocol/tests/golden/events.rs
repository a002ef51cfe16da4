//! What the sidecar tells a local runner.

use osmo_protocol::events::{
    GpuSummary, Left, Phase, PhaseSummary, SidecarEvent, Summary, UnfinishedUpload,
};

use super::{expect_every, golden, text, variants};

fn summary() -> Summary {
    let phase = PhaseSummary {
        phase: Phase::Run,
        duration_s: 1.5,
        bytes: 5,
        files: 1,
        cpu_s: 0.25,
        verified: 1,
    };
    let gpu =
        GpuSummary { gpus: 8, memory_used_bytes_peak: Some(4096), utilization_mean: Some(0.5) };
    Summary {
        code: 10,
        message: "no such bucket".into(),
        command_code: Some(3),
        phases: vec![phase],
        rss_bytes_peak: 1024,
        cpu_s: 0.5,
        io_driver: "uring".into(),
        gpu: Some(gpu),
        left: Left { lines: 2, files: 1, ..Left::default() },
        lines_dropped: 7,
        left_behind: vec![UnfinishedUpload {
            bucket: "b".into(),
            key: "out/big".into(),
            upload_id: "2~x".into(),
        }],
    }
}

fn events() -> [(&'static str, SidecarEvent); 4] {
    let transfer = SidecarEvent::Transfer {
        phase: Phase::Upload,
        item: "s3://b/out".into(),
        files_done: 1,
        files_total: 2,
        bytes_done: 5,
        bytes_total: 10,
    };
    let outputs = SidecarEvent::Outputs { files: 2, bytes: 10, newest: "ckpt/2".into() };
    [
        ("events/phase.json", SidecarEvent::Phase { phase: Phase::Download, at_ms: 12 }),
        ("events/transfer.json", transfer),
        ("events/outputs.json", outputs),
        ("events/summary.json", SidecarEvent::Summary(summary())),
    ]
}

pub(super) fn files() -> Vec<&'static str> {
    events().map(|(name, _)| name).to_vec()
}

#[test]
fn every_event_is_read_and_written() {
    for (name, event) in events() {
        assert_eq!(serde_json::from_slice::<SidecarEvent>(&golden(name)).unwrap(), event, "{name}");
        assert_eq!(serde_json::to_string(&event).unwrap(), text(name), "{name}");
    }
    expect_every(
        variants!(SidecarEvent: Phase Transfer Outputs Summary),
        events().map(|(_, event)| event),
    );
}

#[test]
fn every_phase_has_a_word() {
    let phases = [
        (Phase::Init, "init"),
        (Phase::Download, "download"),
        (Phase::Run, "run"),
        (Phase::Upload, "upload"),
        (Phase::Done, "done"),
        (Phase::Failed, "failed"),
    ];
    let names = variants!(Phase: Init Download Run Upload Done Failed);
    expect_every(names, phases.map(|(phase, _)| phase));
    for (phase, word) in phases {
        let written = serde_json::to_string(&SidecarEvent::Phase { phase, at_ms: 12 }).unwrap();
        assert_eq!(written, text("events/phase.json").replace("download", word));
    }
}
