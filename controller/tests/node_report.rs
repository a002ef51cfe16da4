//! Reports of GPUs: profiles of real ones, told by a stub library. What is
//! expected comes from the profiles, data sheets and `nvml.h`, by hand.

#![allow(clippy::unwrap_used)]

mod node_common;

use node_common::{Node, notes, profile, watch};
use serde_json::{Value, json};

fn gpu(report: &Value, index: usize) -> &Value {
    &report["gpu"]["gpus"][index]
}

/// Compares what `wanted` names, at any depth.
#[track_caller]
fn holds(found: &Value, wanted: &Value) {
    match wanted {
        Value::Object(wanted) => wanted.iter().for_each(|(key, wanted)| {
            let found = found.get(key).unwrap_or_else(|| panic!("no {key} in {found}"));
            match wanted {
                Value::Object(_) => holds(found, wanted),
                _ => assert_eq!(found, wanted, "{key}"),
            }
        }),
        _ => assert_eq!(found, wanted),
    }
}

#[test]
fn a_t4_is_told_whole() {
    let node = Node::new(&profile("t4"));
    let report = node.json();
    assert_eq!(
        report["gpu"]["driver"],
        json!({"driver_version": "550.54.15", "nvml_version": "12.550.54.15", "cuda_version": "12.4"})
    );
    assert_eq!(report["gpu"]["gpus"].as_array().unwrap().len(), 1);
    holds(
        gpu(&report, 0),
        &json!({
            "index": 0, "name": "Tesla T4", "uuid": "GPU-2d9a1e0c-6b7f-4f0e-9d3a-6f1c2b3a4d5e",
            "serial": "1325021012345", "vbios_version": "90.04.96.00.02",
            "pci_bus_id": "0000:00:04.0", "architecture": "Turing", "cores": 2560,
            "cuda_compute_capability": "7.5",
            "memory": {"total_bytes": 16106127360_u64, "reserved_bytes": 469762048,
                "used_bytes": 1048576000, "free_bytes": 14587789312_u64,
                "bar1_total_bytes": 268435456, "bar1_used_bytes": 3145728},
            "utilization": {"gpu_percent": 37, "memory_percent": 12,
                "encoder_percent": 5, "decoder_percent": 9},
            "clocks": {"graphics_mhz": 1005, "sm_mhz": 1005, "memory_mhz": 5000, "video_mhz": 930,
                "graphics_mhz_max": 1590, "sm_mhz_max": 1590, "memory_mhz_max": 5001,
                "video_mhz_max": 1470},
            "throttle_reasons": ["power_cap"], "throttle_seconds": {"power_cap": null,
                "thermal": null},
            "power": {"draw_watts": 69.87, "limit_watts": 70.0, "limit_watts_min": 60.0,
                "limit_watts_max": 70.0, "energy_joules": 987654.321},
            "temperature": {"gpu_celsius": 71, "memory_celsius": null,
                "shutdown_celsius": 96, "slowdown_celsius": 93},
            "ecc": {"enabled": true, "pending": true, "corrected_volatile": 3,
                "uncorrected_volatile": 0, "corrected_aggregate": 17, "uncorrected_aggregate": 0},
            "remapped_rows": {"correctable": null, "pending": null},
            "recovery_action": null,
            "pcie": {"generation": 3, "width": 8, "generation_max": 3, "width_max": 16,
                "transmit_bytes_per_s": 12288000, "receive_bytes_per_s": 256000000, "replays": 4},
            "nvlinks": [], "c2c": null, "fabric": null, "mig": null, "performance_state": "P0",
            "health": {"verdict": "degraded", "reasons": ["PCIe has 8 of 16 lanes"]},
        }),
    );
    let process = &gpu(&report, 0)["processes"][0];
    holds(process, &json!({"pid": 4242, "kind": "compute", "used_bytes": 1046478848}));
    assert_eq!(notes(&report), [""; 0]);
    let table = node.text(&[]);
    let row = table.lines().find(|line| line.contains("Tesla T4")).unwrap();
    for part in ["37 %", "71 °C", "70 W", "1005", "3 × 8", "degraded: PCIe has 8 of 16 lanes"] {
        assert!(row.contains(part), "{part} in {row}");
    }
    assert!(table.contains("\n    clocks lowered: power_cap\n"), "{table}");
}

#[test]
fn partitions_of_an_a100_are_told_and_counted_as_resources() {
    let node = Node::new(&profile("a100-mig"));
    let report = node.json();
    let a100 = gpu(&report, 0);
    // Utilisation is refused on a partitioned GPU; an old driver knows only the
    // second layout of the fabric's structure, and the old name of the reasons.
    holds(
        a100,
        &json!({
            "utilization": {"gpu_percent": null}, "throttle_reasons": ["idle"], "fabric": null,
            "temperature": {"memory_celsius": 31},
            "nvlink_traffic": {"transmit_bytes_total": 1024000, "receive_bytes_total": 2048000},
            "mig": {"enabled": true, "pending": true}, "health": {"verdict": "ok", "reasons": []},
        }),
    );
    assert_eq!(notes(&report), [""; 0]);
    assert_eq!(a100["nvlinks"].as_array().unwrap().len(), 12);
    let instances = a100["mig"]["instances"].as_array().unwrap();
    let column = |name: &str| -> Vec<&Value> { instances.iter().map(|i| &i[name]).collect() };
    assert_eq!(column("index"), [0, 1, 3, 4]);
    assert_eq!(column("multiprocessors"), [42, 28, 14, 14]);
    assert_eq!(column("gpu_slices"), [3, 2, 1, 1]);
    assert_eq!(column("gpu_instance"), [2, 3, 9, 10]);
    assert_eq!(column("compute_instance"), [0, 0, 0, 0]);
    assert_eq!(instances[1]["uuid"], "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb");
    assert_eq!(instances[2]["memory"]["total_bytes"], 5_100_273_664_u64);
    holds(
        &report["resource"]["allocatable_fields"],
        &json!({"nvidia.com/gpu": "0", "nvidia.com/mig-3g.20gb": "1",
            "nvidia.com/mig-2g.10gb": "1", "nvidia.com/mig-1g.5gb": "2"}),
    );
    assert!(node.text(&[]).contains("└ NVIDIA A100-SXM4-40GB MIG 3g.20gb"));
}

/// The names of the device plugin: `+` is no part of a resource's name, and a
/// share of a GPU instance is no resource.
#[test]
fn odd_partitions_have_the_device_plugins_names() {
    let mut profile = profile("a100-mig");
    for (at, name) in [(0, "1c.3g.20gb"), (1, "1g.10gb+me")] {
        let name = format!("NVIDIA A100-SXM4-40GB MIG {name}");
        profile["gpus"][0]["mig"][at]["nvmlDeviceGetName"] = json!(name);
    }
    let report = Node::new(&profile).json();
    let fields = report["resource"]["allocatable_fields"].as_object().unwrap();
    let names: Vec<&String> = fields.keys().filter(|name| name.contains("/mig-")).collect();
    assert_eq!(names, ["nvidia.com/mig-1g.10gb.me", "nvidia.com/mig-1g.5gb"]);
}

#[test]
fn eight_h100_hang_on_four_switches() {
    let report = Node::new(&profile("h100x8")).json();
    let gpus = report["gpu"]["gpus"].as_array().unwrap();
    let buses: Vec<&str> = gpus.iter().map(|gpu| gpu["pci_bus_id"].as_str().unwrap()).collect();
    let wanted = ["18", "2a", "3a", "5d", "9a", "ab", "ba", "db"];
    assert_eq!(buses, wanted.map(|bus| format!("0000:{bus}:00.0")));
    for (index, gpu) in gpus.iter().enumerate() {
        let links = gpu["nvlinks"].as_array().unwrap();
        let to = |bus: &str| links.iter().filter(|l| l["peer_pci_bus_id"] == bus).count();
        let peers = ["05", "06", "07", "08"].map(|bus| to(&format!("0000:{bus}:00.0")));
        assert_eq!(peers, [5, 4, 4, 5], "GPU {index}");
        for link in links {
            holds(
                link,
                &json!({"active": true, "version": 4, "peer": "switch", "crc_errors": 0,
                    // NVLink 4: 26.562 GB/s each way.
                    "bytes_per_s": 26_562_000_000_u64}),
            );
        }
        holds(
            gpu,
            &json!({
                "index": index, "name": "NVIDIA H100 80GB HBM3", "architecture": "Hopper",
                "temperature": {"gpu_celsius": 61, "memory_celsius": 71},
                "remapped_rows": {"correctable": 1, "uncorrectable": 0, "pending": false,
                    "failure": false},
                "recovery_action": "none", "throttle_reasons": [],
                "throttle_seconds": {"power_cap": 12.5, "thermal": 3.0, "software_thermal": 2.0,
                    "hardware_thermal": 1.0, "power_brake": 0.5, "sync_boost": 0.0,
                    "board_limit": 0.25, "low_utilization": 1.0, "reliability": 0.0},
                "power": {"draw_watts": 683.25},
                "nvlink_traffic": {"transmit_bytes_total": 5_120_000_000_u64,
                    "receive_bytes_total": 6_144_000_000_u64},
                // In a fabric of one node there is no cluster.
                "fabric": {"state": "completed", "cluster_uuid": null, "clique": null},
                "mig": {"enabled": false, "instances": []}, "health": {"verdict": "ok"},
            }),
        );
    }
    holds(
        &report["resource"],
        &json!({"available": true, "allocatable_fields": {"nvidia.com/gpu": "8"},
            "label_fields": {"nvidia.com/gpu.count": "8", "nvidia.com/gpu.memory": "81559",
                "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
                "nvidia.com/gpu.family": "hopper", "nvidia.com/gpu.compute.major": "9",
                "nvidia.com/cuda.driver-version.full": "550.90.07"}}),
    );
    assert_eq!(notes(&report), [""; 0]);
}

#[test]
fn an_l40s_with_a_row_to_remap_should_be_reset() {
    let report = Node::new(&profile("l40s")).json();
    holds(
        gpu(&report, 0),
        &json!({
            "architecture": "Ada", "ecc": {"enabled": true, "pending": false},
            "remapped_rows": {"uncorrectable": 2, "pending": true, "failure": false},
            "recovery_action": "gpu_reset", "nvlinks": [], "performance_state": "P8",
            // Generation 1 of 4 is an idle link, not a fault.
            "pcie": {"generation": 1, "generation_max": 4},
            "health": {"verdict": "bad",
                "reasons": ["rows wait for a reset", "the driver advises GpuReset"]},
        }),
    );
    holds(
        &report["resource"],
        &json!({"available": false, "conditions": ["GpuUnhealthy"],
            "label_fields": {"nvidia.com/gpu.family": "ada-lovelace"}}),
    );
}

#[test]
fn the_tables_columns_hold_large_numbers() {
    let mut large = profile("gb200");
    let memory = &mut large["gpus"][0]["nvmlDeviceGetMemoryInfo_v2"];
    memory["used"] = json!(150_000_000_000_u64);
    let table = Node::new(&large).text(&[]);
    let column = |line: &str, word: &str| Some(line.split(word).next()?.chars().count());
    let mut rows = table.lines().skip_while(|line| !line.starts_with("gpu "));
    let wanted = column(rows.next().unwrap(), "health");
    let is_a_gpu = |row: &&str| row.starts_with(|c: char| c.is_ascii_digit());
    let rows: Vec<&str> = rows.filter(is_a_gpu).collect();
    assert_eq!(rows.len(), 4, "{table}");
    for row in rows {
        assert!(row.contains("139.7 GiB of 185.0 GiB"), "{row}");
        assert_eq!(column(row, "ok"), wanted, "{table}");
    }
}

#[test]
fn a_gh200_is_linked_to_its_cpu() {
    let report = Node::new(&profile("gh200")).json();
    holds(
        gpu(&report, 0),
        &json!({
            "pci_bus_id": "0009:01:00.0", "nvlinks": [],
            "c2c": {"links": 10, "links_active": 9, "link_bytes_per_s_max": 44_712_000_000_u64,
                "errors": 1, "replays": 30},
        }),
    );
    let table = Node::new(&profile("gh200")).text(&[]);
    assert!(table.contains("\n    C2C 9 of 10 × 44.7 GB/s\n"), "{table}");
}

#[test]
fn gb200s_of_a_tray_tell_their_clique() {
    let report = Node::new(&profile("gb200")).json();
    for index in 0..4 {
        holds(
            gpu(&report, index),
            &json!({
                "architecture": "Blackwell",
                "fabric": {"cluster_uuid": "5b1f9c62-7c4e-4bb8-9d77-0f1e2d3c4b5a",
                    "clique": 32766, "state": "completed"},
                // NVLink 5 counts bytes, a link at a time: 18 of them.
                "nvlink_traffic": {"transmit_bytes_total": 18_000_000,
                    "receive_bytes_total": 36_000_000},
            }),
        );
    }
    assert_eq!(gpu(&report, 3)["nvlinks"][17]["bytes_per_s"], 50_000_000_000_u64);
    let table = Node::new(&profile("gb200")).text(&[]);
    let line = "    NVLink 18 of 18 × 50.0 GB/s, clique 5b1f9c62-7c4e-4bb8-9d77-0f1e2d3c4b5a.32766";
    assert_eq!(table.lines().filter(|found| *found == line).count(), 4, "{table}");
    let clique = &report["resource"]["label_fields"]["nvidia.com/gpu.clique"];
    assert_eq!(clique, "5b1f9c62-7c4e-4bb8-9d77-0f1e2d3c4b5a.32766");
}

/// Two samples are needed: a first reading has none.
#[test]
fn a_hoppers_monitor_tells_from_the_second_reading_on() {
    let mut seen = Vec::new();
    watch(&Node::new(&profile("h100x8")), |report| {
        seen.push(gpu(report, 7)["activity"].clone());
        seen.len() == 3
    });
    assert!(seen[0].as_object().unwrap().values().all(Value::is_null), "{}", seen[0]);
    assert_eq!(seen[1], seen[2]);
    assert_eq!(
        seen[1],
        json!({"graphics_percent": 98.5, "sm_percent": 92.25, "sm_occupancy_percent": 41.5,
            "tensor_percent": 63.75, "fp64_percent": 0.0, "fp32_percent": 8.5,
            "fp16_percent": 12.25, "memory_bandwidth_percent": 57.5,
            // MiB a second.
            "pcie_transmit_bytes_per_s": 1073741824.0, "pcie_receive_bytes_per_s": 2147483648.0,
            "nvlink_transmit_bytes_per_s": 536870912.0,
            "nvlink_receive_bytes_per_s": 4294967296.0})
    );
}

/// On a Hopper, whose monitor knows GPU instances; two compute instances of one share
/// what it says.
#[test]
fn partitions_have_their_own_activity() {
    let mut hopper = profile("a100-mig");
    let card = &mut hopper["gpus"][0];
    card["nvmlGpmQueryDeviceSupport"] = json!(true);
    for (at, percent) in [(0, 75.5), (1, 12.25)] {
        card["mig"][at]["nvmlGpmMetricsGet"] = json!({"1": percent, "2": 50.0});
    }
    card["mig"][3]["nvmlDeviceGetGpuInstanceId"] = json!(2);
    let node = Node::new(&hopper);
    let report = watch(&node, |report| {
        !gpu(report, 0)["mig"]["instances"][0]["activity"]["graphics_percent"].is_null()
    });
    let instances = gpu(&report, 0)["mig"]["instances"].as_array().unwrap();
    let told: Vec<&Value> = instances.iter().map(|i| &i["activity"]["graphics_percent"]).collect();
    assert_eq!(told, [&json!(75.5), &json!(12.25), &json!(75.5), &Value::Null]);
    assert_eq!(gpu(&report, 0)["activity"]["graphics_percent"], Value::Null);
    assert_eq!(notes(&report), [""; 0]);
}

/// Drivers of 580.82 and later number some fields otherwise: 269 for 251 and so on.
#[test]
fn a_newer_drivers_numbers_of_fields_are_known() {
    let mut newer = profile("h100x8");
    newer["system"]["nvmlSystemGetDriverVersion"] = json!("580.95.05");
    let fields = newer["gpus"][0]["nvmlDeviceGetFieldValues"].as_object_mut().unwrap();
    for (old, new) in [("251", "269"), ("252", "270"), ("253", "271")] {
        let value = fields.remove(old).unwrap();
        fields.insert(new.to_owned(), value);
    }
    let report = Node::new(&newer).json();
    holds(
        &gpu(&report, 0)["throttle_seconds"],
        &json!({"power_cap": 12.5, "software_thermal": 2.0, "hardware_thermal": 1.0,
            "power_brake": 0.5}),
    );
}

/// The keys and types of the contract's example; the service refuses others.
#[test]
fn the_resource_message_has_the_contracts_shape() {
    let example = json!({"hostname": "n1", "available": true, "conditions": ["Ready"],
        "processed_fields": {}, "allocatable_fields": {"cpu": "63", "memory": "263412Ki",
        "ephemeral-storage": "1Ki", "nvidia.com/gpu": "8", "pods": "110"},
        "label_fields": {"kubernetes.io/hostname": "n1"},
        "taints": [{"effect": "NoSchedule", "key": "gpu", "time_added": null, "value": "x"}]});
    let report = Node::new(&profile("h100x8")).json();
    let message = report["resource"].as_object().unwrap();
    let keys: Vec<&String> = message.keys().collect();
    assert_eq!(keys, example.as_object().unwrap().keys().collect::<Vec<_>>());
    for (key, value) in example.as_object().unwrap() {
        let found = &message[key];
        assert_eq!(std::mem::discriminant(found), std::mem::discriminant(value), "{key}");
    }
    for fields in ["allocatable_fields", "label_fields", "processed_fields"] {
        assert!(message[fields].as_object().unwrap().values().all(Value::is_string), "{fields}");
    }
    let memory = message["allocatable_fields"]["memory"].as_str().unwrap();
    assert!(memory.strip_suffix("Ki").unwrap().parse::<u64>().unwrap() > 0);
    message["allocatable_fields"]["cpu"].as_str().unwrap().parse::<u64>().unwrap();
    let name = &message["label_fields"]["kubernetes.io/hostname"];
    assert_eq!(name, &message["hostname"]);
    assert!(report["gpu"]["gpus"].is_array(), "our block stands beside it");
}
