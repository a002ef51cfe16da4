//! The report of the real card beside `nvidia-smi -q -x`, field by field. Named
//! in CONTRIBUTING.md; without `nvidia-smi` there is nothing to compare.

#![allow(clippy::unwrap_used)]

mod node_common;

use std::process::Command;

use node_common::{Node, read};
use serde_json::{Map, Value, json};

/// `nvidia-smi -q -x`, or nothing.
fn smi() -> Option<String> {
    let output = Command::new("nvidia-smi").args(["-q", "-x"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The text below a path of tags, within `xml`; each the first of its name.
fn at<'a>(xml: &'a str, path: &str) -> Option<&'a str> {
    path.split('/').try_fold(xml, |xml, tag| {
        let rest = xml.split_once(&format!("<{tag}>"))?.1;
        Some(rest.split_once(&format!("</{tag}>"))?.0)
    })
}

/// `81559 MiB` → 81559; nothing for `N/A`.
fn number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.trim_end_matches(['x', '%']).parse().ok()
}

/// How a field of ours is compared: where it is in the report, where in the
/// XML, how much one of theirs is of ours, and how much both may differ, since
/// they are read one after the other.
type Number = (&'static str, &'static str, f64, f64);

const MIB: f64 = 1_048_576.0;
#[rustfmt::skip]
const NUMBERS: &[Number] = &[
    ("/memory/total_bytes", "fb_memory_usage/total", MIB, MIB),
    ("/memory/used_bytes", "fb_memory_usage/used", MIB, 512.0 * MIB),
    ("/memory/free_bytes", "fb_memory_usage/free", MIB, 512.0 * MIB),
    ("/memory/reserved_bytes", "fb_memory_usage/reserved", MIB, MIB),
    ("/memory/bar1_total_bytes", "bar1_memory_usage/total", MIB, MIB),
    ("/utilization/gpu_percent", "utilization/gpu_util", 1.0, 100.0),
    ("/utilization/memory_percent", "utilization/memory_util", 1.0, 100.0),
    ("/clocks/sm_mhz", "clocks/sm_clock", 1.0, 2000.0),
    ("/clocks/memory_mhz", "clocks/mem_clock", 1.0, 2500.0),
    ("/clocks/graphics_mhz_max", "max_clocks/graphics_clock", 1.0, 0.0),
    ("/clocks/sm_mhz_max", "max_clocks/sm_clock", 1.0, 0.0),
    ("/clocks/memory_mhz_max", "max_clocks/mem_clock", 1.0, 0.0),
    ("/temperature/gpu_celsius", "temperature/gpu_temp", 1.0, 5.0),
    ("/temperature/memory_celsius", "temperature/memory_temp", 1.0, 5.0),
    ("/power/limit_watts", "gpu_power_readings/current_power_limit", 1.0, 0.01),
    ("/power/limit_watts_min", "gpu_power_readings/min_power_limit", 1.0, 0.01),
    ("/power/limit_watts_max", "gpu_power_readings/max_power_limit", 1.0, 0.01),
    ("/pcie/generation_max", "pci/pci_gpu_link_info/pcie_gen/max_link_gen", 1.0, 0.0),
    ("/pcie/width", "pci/pci_gpu_link_info/link_widths/current_link_width", 1.0, 0.0),
    ("/pcie/width_max", "pci/pci_gpu_link_info/link_widths/max_link_width", 1.0, 0.0),
    ("/pcie/replays", "pci/replay_counter", 1.0, 8.0),
    ("/remapped_rows/correctable", "remapped_rows/remapped_row_corr", 1.0, 0.0),
    ("/remapped_rows/uncorrectable", "remapped_rows/remapped_row_unc", 1.0, 0.0),
];
const TEXTS: &[(&str, &str)] = &[
    ("/name", "product_name"),
    ("/uuid", "uuid"),
    ("/serial", "serial"),
    ("/vbios_version", "vbios_version"),
    ("/architecture", "product_architecture"),
];

/// Sentences about what differs.
fn differences(gpu: &Value, xml: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (ours, theirs) in TEXTS {
        let theirs = at(xml, theirs).filter(|text| *text != "N/A");
        let found = gpu.pointer(ours).and_then(Value::as_str);
        // `nvidia-smi` says "Ada Lovelace".
        let same = match (found, theirs) {
            (Some(found), Some(theirs)) => theirs.starts_with(found),
            (found, theirs) => found.is_none() && theirs.is_none(),
        };
        if !same {
            wrong.push(format!("{ours}: {found:?}, nvidia-smi {theirs:?}"));
        }
    }
    for (ours, theirs, unit, slack) in NUMBERS {
        let theirs = at(xml, theirs).and_then(number).map(|number| number * unit);
        let found = gpu.pointer(ours).and_then(Value::as_f64);
        let same = match (found, theirs) {
            (Some(found), Some(theirs)) => (found - theirs).abs() <= *slack,
            // Names of the XML differ between drivers.
            (_, None) => true,
            (None, Some(_)) => false,
        };
        if !same {
            wrong.push(format!("{ours}: {found:?}, nvidia-smi {theirs:?}"));
        }
    }
    let bus = at(xml, "pci/pci_bus_id").unwrap_or_default().to_lowercase();
    let ours = gpu["pci_bus_id"].as_str().unwrap_or_default();
    if !bus.ends_with(ours) || ours.is_empty() {
        wrong.push(format!("pci_bus_id: {ours}, nvidia-smi {bus}"));
    }
    let mode = at(xml, "ecc_mode/current_ecc").filter(|mode| *mode != "N/A");
    if gpu["ecc"]["enabled"].as_bool() != mode.map(|mode| mode == "Enabled") {
        wrong.push(format!("ecc: {}, nvidia-smi {mode:?}", gpu["ecc"]["enabled"]));
    }
    wrong
}

/// What the report tells, as a profile of the stub.
fn recorded(report: &Value) -> Value {
    let gpu = |gpu: &Value| {
        let mut out = Map::new();
        let mut put = |call: &str, value: Value| {
            let known = match &value {
                Value::Object(parts) => parts.values().all(|part| !part.is_null()),
                value => !value.is_null(),
            };
            if known {
                out.insert(call.to_owned(), value);
            }
        };
        put("nvmlDeviceGetName", gpu["name"].clone());
        put("nvmlDeviceGetUUID", gpu["uuid"].clone());
        put("nvmlDeviceGetVbiosVersion", gpu["vbios_version"].clone());
        put("nvmlDeviceGetPciInfo_v3", gpu["pci_bus_id"].clone());
        put("nvmlDeviceGetNumGpuCores", gpu["cores"].clone());
        let memory = &gpu["memory"];
        put(
            "nvmlDeviceGetMemoryInfo_v2",
            json!({"total": memory["total_bytes"],
            "reserved": memory["reserved_bytes"], "used": memory["used_bytes"],
            "free": memory["free_bytes"]}),
        );
        let share = &gpu["utilization"];
        put(
            "nvmlDeviceGetUtilizationRates",
            json!({"gpu": share["gpu_percent"], "memory": share["memory_percent"]}),
        );
        let milli = |watts: &Value| {
            watts.as_f64().and_then(|w| format!("{:.0}", w * 1e3).parse::<u64>().ok())
        };
        put("nvmlDeviceGetPowerUsage", json!(milli(&gpu["power"]["draw_watts"])));
        put("nvmlDeviceGetEnforcedPowerLimit", json!(milli(&gpu["power"]["limit_watts"])));
        put("nvmlDeviceGetTemperature", json!({"0": gpu["temperature"]["gpu_celsius"]}));
        let clocks = &gpu["clocks"];
        put(
            "nvmlDeviceGetClockInfo",
            json!({"0": clocks["graphics_mhz"], "1": clocks["sm_mhz"],
            "2": clocks["memory_mhz"], "3": clocks["video_mhz"]}),
        );
        put("nvmlDeviceGetCurrPcieLinkWidth", gpu["pcie"]["width"].clone());
        put("nvmlDeviceGetMaxPcieLinkWidth", gpu["pcie"]["width_max"].clone());
        put("nvmlDeviceGetCurrPcieLinkGeneration", gpu["pcie"]["generation"].clone());
        put("nvmlDeviceGetMaxPcieLinkGeneration", gpu["pcie"]["generation_max"].clone());
        Value::Object(out)
    };
    let gpus = report["gpu"]["gpus"].as_array().unwrap();
    json!({"system": {"nvmlSystemGetDriverVersion": report["gpu"]["driver"]["driver_version"]},
        "gpus": gpus.iter().map(gpu).collect::<Vec<_>>()})
}

#[test]
#[ignore = "needs a card and nvidia-smi; see CONTRIBUTING.md"]
fn the_card_is_told_as_nvidia_smi_tells_it() {
    let xml = smi().expect("nvidia-smi -q -x runs here");
    let node = Node::new(&Value::Null);
    let report = read(&node.bare("report", &["--json"]).output().unwrap());
    let gpus = report["gpu"]["gpus"].as_array().unwrap();
    let theirs: Vec<&str> = xml.split("<gpu id=").skip(1).collect();
    assert_eq!(gpus.len(), theirs.len(), "{}", report["gpu"]["notes"]);
    assert_eq!(report["gpu"]["driver"]["driver_version"], at(&xml, "driver_version").unwrap());
    for (gpu, xml) in gpus.iter().zip(theirs) {
        assert_eq!(differences(gpu, xml), [""; 0], "GPU {}", gpu["index"]);
    }
    // The fixture, and that the stub tells it again.
    let profile = recorded(&report);
    let folder = std::env::var_os("RECORD").map_or_else(std::env::temp_dir, Into::into);
    std::fs::write(folder.join("nvml-card.json"), format!("{profile:#}\n")).unwrap();
    let again = Node::new(&profile).json();
    for field in ["/name", "/uuid", "/pci_bus_id", "/memory/total_bytes", "/power/limit_watts"] {
        let of = |report: &Value| report["gpu"]["gpus"][0].pointer(field).cloned();
        assert_eq!(of(&again), of(&report), "{field}");
    }
}

/// The comparison itself, on a piece of what `nvidia-smi` writes for a T4.
#[test]
fn what_differs_is_told() {
    let xml = "<product_name>Tesla T4</product_name><product_architecture>Turing\
        </product_architecture><serial>N/A</serial><uuid>GPU-1</uuid>\
        <vbios_version>90.04</vbios_version><pci><pci_bus_id>00000000:00:04.0</pci_bus_id></pci>\
        <fb_memory_usage><total>15360 MiB</total><used>1000 MiB</used></fb_memory_usage>\
        <ecc_mode><current_ecc>Enabled</current_ecc></ecc_mode>";
    let mut gpu = json!({"name": "Tesla T4", "architecture": "Turing", "serial": null,
        "uuid": "GPU-1", "vbios_version": "90.04", "pci_bus_id": "0000:00:04.0",
        "memory": {"total_bytes": 16106127360_u64, "used_bytes": 1048576000},
        "ecc": {"enabled": true}});
    assert_eq!(differences(&gpu, xml), [""; 0]);
    gpu["memory"]["total_bytes"] = json!(15_000_000_000_u64);
    gpu["name"] = json!("Tesla P4");
    gpu["ecc"]["enabled"] = json!(false);
    let wrong = differences(&gpu, xml);
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    let profile = recorded(&json!({"gpu": {"gpus": [gpu], "driver": {"driver_version": "550"}}}));
    let again = Node::new(&profile).json();
    assert_eq!(again["gpu"]["gpus"][0]["name"], "Tesla P4");
    assert_eq!(again["gpu"]["gpus"][0]["pci_bus_id"], "0000:00:04.0");
}
