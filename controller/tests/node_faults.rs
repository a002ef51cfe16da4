//! What goes wrong while GPUs are read: the report goes on and says so.

#![allow(clippy::unwrap_used)]

mod node_common;

use std::process::Command;
use std::time::{Duration, Instant};

use node_common::{Node, notes, profile, read, watch};
use serde_json::{Value, json};

const GPU_IS_LOST: u32 = 15;
const DRIVER_NOT_LOADED: u32 = 9;

fn with(name: &str, faults: Value) -> Node {
    let mut profile = profile(name);
    profile["faults"] = faults;
    Node::new(&profile)
}

#[test]
fn a_gpu_that_supports_nothing_is_null_and_not_zero() {
    let report = Node::new(&json!({"gpus": [{}]})).json();
    let gpu = &report["gpu"]["gpus"][0];
    fn leaves<'a>(value: &'a Value, path: String, found: &mut Vec<(String, &'a Value)>) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(key, value)| leaves(value, format!("{path}.{key}"), found))
            }
            _ => found.push((path, value)),
        }
    }
    let mut found = Vec::new();
    leaves(gpu, String::new(), &mut found);
    let told: Vec<&str> = found
        .iter()
        .filter(|(_, value)| !value.is_null() && **value != json!([]))
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(told, [".health.verdict", ".index", ".lost", ".xid.listening", ".xid.others"]);
    assert!(found.len() > 60, "{} readings", found.len());
    assert_eq!(notes(&report), [""; 0]);
}

#[test]
fn a_gpu_lost_in_mid_read_keeps_what_was_read() {
    let node = with(
        "h100x8",
        json!([{"call": "nvmlDeviceGetPowerUsage", "gpu": 3, "error": GPU_IS_LOST}]),
    );
    let report = node.json();
    let lost = &report["gpu"]["gpus"][3];
    assert_eq!((&lost["name"], &lost["lost"]), (&json!("NVIDIA H100 80GB HBM3"), &json!(true)));
    assert_eq!(lost["memory"]["used_bytes"], 70_000_000_000_u64);
    assert_eq!(lost["power"]["draw_watts"], Value::Null);
    assert_eq!(lost["temperature"]["gpu_celsius"], Value::Null);
    assert_eq!(lost["health"]["verdict"], "bad");
    assert_eq!(lost["health"]["reasons"], json!(["the GPU is lost: it fell off the bus"]));
    for index in [0, 1, 2, 4, 5, 6, 7] {
        assert_eq!(report["gpu"]["gpus"][index]["health"]["verdict"], "ok", "GPU {index}");
    }
    assert_eq!(report["resource"]["available"], false);
}

#[test]
fn a_list_that_grows_between_two_calls_is_asked_for_again() {
    let mut profile = profile("t4");
    let list = |count: u32| json!((1..=count).map(|pid| json!({"pid": pid})).collect::<Vec<_>>());
    profile["gpus"][0]["nvmlDeviceGetComputeRunningProcesses_v3"] =
        json!({"grows": [list(1), list(20), list(20)]});
    let report = Node::new(&profile).json();
    let processes = report["gpu"]["gpus"][0]["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 20, "{:?}", notes(&report));
    // The driver does not tell their memory.
    assert_eq!((&processes[19]["pid"], &processes[19]["used_bytes"]), (&json!(20), &Value::Null));
    assert_eq!(notes(&report), [""; 0]);
}

#[test]
fn processes_are_bounded() {
    let mut profile = profile("t4");
    let list: Vec<Value> = (1..=300).map(|pid| json!({"pid": pid, "used": 1})).collect();
    profile["gpus"][0]["nvmlDeviceGetComputeRunningProcesses_v3"] = json!(list);
    let report = Node::new(&profile).json();
    assert_eq!(report["gpu"]["gpus"][0]["processes"].as_array().unwrap().len(), 256);
}

#[test]
fn a_storm_of_xids_is_counted_within_bounds() {
    let mut profile = profile("t4");
    let mut storm = vec![json!({"gpu": 0, "xid": 79, "count": 3000})];
    storm.extend((100..170).map(|xid| json!({"gpu": 0, "xid": xid, "count": 2})));
    profile["xids"] = json!(storm);
    let node = Node::new(&profile);
    let report = watch(&node, |report| report["gpu"]["gpus"][0]["xid"]["last"] == 169);
    let xid = &report["gpu"]["gpus"][0]["xid"];
    let counts = xid["counts"].as_object().unwrap();
    assert_eq!((counts.len(), &counts["79"], &counts["100"]), (64, &json!(3000), &json!(2)));
    // 71 kinds, of which 64 are counted apart: twice 7.
    assert!(xid["others"].as_u64().unwrap() >= 13, "{xid}");
    // All of it was a moment ago.
    let lately = xid["counts_5min"].as_object().unwrap();
    assert_eq!((lately.len(), &lately["79"], &lately["100"]), (64, &json!(3000), &json!(2)));
    assert_eq!(report["gpu"]["gpus"][0]["health"]["verdict"], "bad");
}

#[test]
fn an_applications_xid_is_no_fault_of_the_gpu() {
    let mut profile = profile("t4");
    profile["gpus"][0]["nvmlDeviceGetCurrPcieLinkWidth"] = json!(16);
    profile["xids"] = json!([{"gpu": 0, "xid": 13, "count": 1}]);
    let node = Node::new(&profile);
    let report = watch(&node, |report| report["gpu"]["gpus"][0]["xid"]["last"] == 13);
    assert_eq!(report["gpu"]["gpus"][0]["health"]["verdict"], "ok");
}

#[test]
fn a_call_that_hangs_costs_its_gpu_alone() {
    let hang = json!([{"call": "nvmlDeviceGetPerformanceState", "gpu": 1, "hang_s": 600}]);
    let node = with("h100x8", hang);
    let mut seen = Vec::new();
    let begin = Instant::now();
    watch(&node, |report| {
        seen.push(report.clone());
        seen.len() == 3
    });
    assert!(begin.elapsed() < Duration::from_secs(50), "it would hang for 600 s");
    for report in &seen {
        let hung = &report["gpu"]["gpus"][1];
        assert_eq!(hung["name"], "NVIDIA H100 80GB HBM3");
        assert_eq!(hung["performance_state"], Value::Null);
        let sentence = "the driver does not answer about its performance state";
        assert_eq!(hung["health"]["reasons"][0], sentence);
        assert_eq!(notes(report), [format!("GPU 1: {sentence}; later readings are missing")]);
        for index in [0, 2, 7] {
            assert_eq!(report["gpu"]["gpus"][index]["performance_state"], "P0");
            assert_eq!(report["gpu"]["gpus"][index]["health"]["verdict"], "ok");
        }
    }
}

#[test]
fn what_a_hung_gpu_told_before_is_current_once() {
    let hang = json!([{"call": "nvmlDeviceGetPerformanceState", "gpu": 0, "hang_s": 600}]);
    let mut draws = Vec::new();
    watch(&with("h100x8", hang), |report| {
        draws.push(report["gpu"]["gpus"][0]["power"]["draw_watts"].clone());
        draws.len() == 3
    });
    assert_eq!(draws, [json!(683.25), Value::Null, Value::Null]);
}

/// Without persistence a handle costs the GPU's initialisation: seconds.
#[test]
fn a_gpu_that_is_slow_to_attach_is_waited_for() {
    let slow = json!([{"call": "nvmlDeviceGetHandleByIndex_v2", "hang_s": 4}]);
    let report = with("l40s", slow).json();
    let gpu = &report["gpu"]["gpus"][0];
    assert_eq!(gpu["name"], "NVIDIA L40S");
    let reasons = json!(["rows wait for a reset", "the driver advises GpuReset"]);
    assert_eq!(gpu["health"]["reasons"], reasons);
    assert_eq!(notes(&report), [""; 0]);
}

#[test]
fn a_handle_that_hangs_is_named_and_old_values_are_dropped() {
    // The events' thread asks twice; the readings that are left go well.
    let call = "nvmlDeviceGetHandleByIndex_v2";
    let node = with("t4", json!([{"call": call, "gpu": 0, "after": 4, "hang_s": 600}]));
    let report = watch(&node, |report| report["gpu"]["gpus"][0]["health"]["verdict"] == "bad");
    let gpu = &report["gpu"]["gpus"][0];
    assert_eq!(gpu["name"], "Tesla T4");
    assert_eq!(gpu["health"]["reasons"], json!(["the driver does not answer about its handle"]));
    assert_eq!(gpu["power"]["draw_watts"], Value::Null);
}

#[test]
fn the_xid_of_a_gpu_that_is_gone_is_counted() {
    let mut profile = profile("h100x8");
    profile["faults"] = json!([{"call": "nvmlDeviceGetIndex", "error": GPU_IS_LOST}]);
    profile["xids"] = json!([{"gpu": 3, "xid": 79, "count": 1}]);
    let report =
        watch(&Node::new(&profile), |report| report["gpu"]["gpus"][3]["xid"]["counts"]["79"] == 1);
    assert_eq!(report["gpu"]["gpus"][2]["xid"]["counts"], json!({}));
}

#[test]
fn a_fabric_that_failed_gives_no_clique() {
    let fabric = "nvmlDeviceGetGpuFabricInfoV";
    let mut profile = profile("gb200");
    let cluster = profile["gpus"][0][fabric]["cluster"].clone();
    // `NVML_ERROR_UNKNOWN`; then NVML_GPU_FABRIC_HEALTH_SUMMARY_UNHEALTHY and
    // _LIMITED_CAPACITY.
    for (gpu, (status, summary)) in [(999, 0), (0, 2), (0, 3), (0, 1)].into_iter().enumerate() {
        profile["gpus"][gpu][fabric] = json!({"state": 3, "clique": 7, "cluster": cluster,
            "status": status, "health_summary": summary, "health_mask": 5});
    }
    let report = Node::new(&profile).json();
    let gpus = report["gpu"]["gpus"].as_array().unwrap();
    let column =
        |name: &str| gpus.iter().map(|gpu| gpu["fabric"][name].clone()).collect::<Vec<_>>();
    assert_eq!(column("state"), ["error", "completed", "completed", "completed"]);
    assert_eq!(column("clique"), [Value::Null, json!(7), json!(7), json!(7)]);
    assert_eq!(
        column("health"),
        [json!(null), json!("unhealthy"), json!("limited_capacity"), json!("healthy")]
    );
    assert_eq!(column("health_mask"), [5, 5, 5, 5]);
    let verdicts: Vec<&Value> = gpus.iter().map(|gpu| &gpu["health"]["verdict"]).collect();
    assert_eq!(verdicts, ["bad", "bad", "degraded", "ok"]);
}

#[test]
fn a_board_whose_links_are_all_down_is_degraded() {
    let mut profile = profile("h100x8");
    for link in profile["gpus"][0]["links"].as_array_mut().unwrap() {
        link["nvmlDeviceGetNvLinkState"] = json!(0);
    }
    let report = Node::new(&profile).json();
    let health = &report["gpu"]["gpus"][0]["health"];
    assert_eq!(*health, json!({"verdict": "degraded", "reasons": ["18 NVLinks are down"]}));
}

#[test]
fn a_library_that_hangs_at_its_start_is_left_alone() {
    let hung = |call: &str| {
        let node = with("t4", json!([{"call": call, "hang_s": 600}]));
        let begin = Instant::now();
        let report = node.json();
        assert!(begin.elapsed() < Duration::from_secs(60), "{call}");
        let note = notes(&report).concat();
        assert!(note.ends_with("did not start within 5 s"), "{call}: {note}");
        assert_eq!(report["gpu"]["gpus"], json!([]));
        assert!(report["cpu"]["online"].as_u64().unwrap() > 0, "the node is told");
    };
    std::thread::scope(|scope| {
        for call in ["nvmlInit_v2", "nvmlDeviceGetCount_v2", "nvmlSystemGetDriverVersion"] {
            scope.spawn(move || hung(call));
        }
    });
}

/// `NVML_ERROR_UNKNOWN` twice, as while a driver is being replaced.
#[test]
fn gpus_that_could_not_be_counted_are_counted_again() {
    let call = "nvmlDeviceGetCount_v2";
    let node = with("h100x8", json!([{"call": call, "times": 2, "error": 999}]));
    let mut first = None;
    let counted = |report: &Value| {
        first.get_or_insert_with(|| report.clone());
        report["gpu"]["gpus"] != json!([])
    };
    let report = watch(&node, counted);
    assert_eq!(report["gpu"]["gpus"].as_array().unwrap().len(), 8);
    assert_eq!(notes(&report), [""; 0]);
    let first = first.unwrap();
    let note = notes(&first).concat();
    assert!(note.starts_with("cannot count the GPUs: "), "{note}");
    assert_eq!(first["gpu"]["driver"], report["gpu"]["driver"], "the driver answers");
}

#[test]
fn without_library_or_driver_there_are_no_gpus_and_a_note() {
    let node = with("t4", json!([{"call": "nvmlInit_v2", "error": DRIVER_NOT_LOADED}]));
    let report = node.json();
    assert_eq!((&report["gpu"]["driver"], &report["gpu"]["gpus"]), (&Value::Null, &json!([])));
    assert!(notes(&report)[0].contains("does not start: "), "{:?}", notes(&report));
    assert_eq!(report["resource"]["allocatable_fields"]["nvidia.com/gpu"], "0");
    assert_eq!(report["resource"]["available"], true);

    let mut command = node.bare("report", &["--json", "--nvml", "/nowhere/libnvidia-ml.so.1"]);
    let report = read(&command.output().unwrap());
    let note = notes(&report).concat();
    assert!(note.starts_with("no GPUs: /nowhere/libnvidia-ml.so.1 is not here"), "{note}");
}

/// A library in C with these functions alone.
fn library(node: &Node, code: &str) -> String {
    let (source, library) = (node.path().join("nvml.c"), node.path().join("libnvidia-ml.so.1"));
    std::fs::write(&source, code).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    assert!(cc.status().unwrap().success());
    library.to_str().unwrap().to_owned()
}

#[test]
fn a_library_without_most_symbols_is_read_as_far_as_it_goes() {
    let init = "int nvmlInit_v2(void) { return 0; }\n";
    let count = "int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return 0; }\n";
    let handle = "int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d)\
                  { *d = (void *)(long)(i + 1); return 0; }\n";
    let node = Node::new(&json!({}));
    // A sample of the monitor is refused, and cannot be freed.
    let monitor = "int nvmlGpmQueryDeviceSupport(void *d, unsigned *s) { s[1] = 1; return 0; }\n\
                   int nvmlGpmSampleAlloc(void **s) { *s = (void *)1; return 0; }\n\
                   int nvmlGpmSampleGet(void *d, void *s) { return 3; }\n";
    let some = format!("{init}{count}{handle}");
    // None of them has `nvmlShutdown`.
    for (code, gpus) in [(format!("{some}{monitor}"), 2), (some, 2), (init.to_owned(), 0)] {
        let library = library(&node, &code);
        let report = read(&node.bare("report", &["--json", "--nvml", &library]).output().unwrap());
        assert_eq!(report["gpu"]["gpus"].as_array().unwrap().len(), gpus);
        for gpu in report["gpu"]["gpus"].as_array().unwrap() {
            assert_eq!((&gpu["name"], &gpu["health"]["verdict"]), (&Value::Null, &json!("ok")));
        }
    }
    let library = library(&node, "int other(void) { return 0; }\n");
    let report = read(&node.bare("report", &["--json", "--nvml", &library]).output().unwrap());
    assert!(notes(&report)[0].starts_with("no GPUs: "), "{:?}", notes(&report));
}

#[test]
fn the_65th_gpu_is_left_out_and_that_is_said() {
    let mut gpus = vec![profile("t4")["gpus"][0].clone()];
    gpus.extend(
        (1..65).map(|number| json!({"like": 0, "nvmlDeviceGetUUID": format!("GPU-{number}")})),
    );
    let report = Node::new(&json!({"gpus": gpus})).json();
    assert_eq!(report["gpu"]["gpus"].as_array().unwrap().len(), 64);
    assert_eq!(notes(&report), ["65 GPUs: only the first 64 are reported"]);
}
