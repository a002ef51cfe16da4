//! Trees of five kinds of nodes, read below `--sysroot`; what is expected was
//! read off the trees by hand.

#![allow(clippy::unwrap_used)]

mod node_common;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use node_common::{Node, profile, read};
use serde_json::{Value, json};

/// Lays a tree out; its language is told in `nodes/README.md`.
fn lay(name: &str, to: &Path) -> PathBuf {
    let path = format!("{}/tests/nodes/{name}.tree", env!("CARGO_MANIFEST_DIR"));
    let place = |path: &str| {
        let place = to.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        place
    };
    let mut file: Option<(PathBuf, String)> = None;
    for line in std::fs::read_to_string(path).unwrap().lines().chain(["#"]) {
        let mark = ["= ", "> ", "/ ", "#"].into_iter().find(|mark| line.starts_with(mark));
        match (mark, &mut file) {
            (None, Some((_, text))) => *text += &format!("{line}\n"),
            (None, None) => panic!("{name}: {line:?} belongs to no file"),
            (Some(mark), file) => {
                if let Some((path, text)) = file.take() {
                    std::fs::write(path, text).unwrap();
                }
                let rest = &line[mark.len()..];
                match mark {
                    "= " => *file = Some((place(rest), String::new())),
                    "/ " => std::fs::create_dir_all(place(rest)).unwrap(),
                    "> " => {
                        let (path, target) = rest.split_once(' ').unwrap();
                        std::os::unix::fs::symlink(target, place(path)).unwrap();
                    }
                    _ => {}
                }
            }
        }
    }
    to.to_owned()
}

/// The report of a tree, and of a profile's GPUs in it.
fn report(name: &str, gpus: Option<&str>) -> Value {
    let node = Node::new(&gpus.map_or(Value::Null, profile));
    let root = lay(name, &node.path().join("root"));
    let args = ["--json", "--sysroot", root.to_str().unwrap()];
    let mut command = match gpus {
        Some(_) => node.command("report", &args),
        None => node.bare("report", &args),
    };
    read(&command.output().unwrap())
}

/// Columns of a list.
fn columns(list: &Value, names: &[&str]) -> Value {
    let row = |row: &Value| names.iter().map(|name| row[name].clone()).collect::<Vec<_>>();
    list.as_array().unwrap().iter().map(row).collect()
}

const SCRATCH: [&str; 5] = ["path", "fs", "kind", "raid", "raid_members"];
const NIC: [&str; 6] = ["name", "state", "bits_per_s", "mtu_bytes", "driver", "numa_node"];

#[test]
fn a_dgx_h100() {
    let report = report("dgx-h100", Some("h100x8"));
    assert_eq!(report["hostname"], "dgx-01");
    assert_eq!(
        report["kernel"],
        json!({"release": "5.15.0-1053-nvidia", "os": "Ubuntu 22.04.4 LTS",
            "nvidia_module_version": "550.90.07", "nvidia_fs_loaded": true,
            "nvidia_peermem_loaded": true, "transparent_hugepages": "madvise"})
    );
    let cpu = &report["cpu"];
    assert_eq!(cpu["online"], 224);
    assert_eq!(cpu["model"], "Intel(R) Xeon(R) Platinum 8480C");
    assert_eq!(
        columns(&cpu["numa_nodes"], &["node", "cpus", "memory_total_bytes"]),
        json!([
            [0, "0-55,112-167", 1_081_876_828_160_u64],
            [1, "56-111,168-223", 1_082_327_040_000_u64]
        ])
    );
    assert_eq!(
        report["memory"],
        json!({"total_bytes": 2_164_203_868_160_u64, "available_bytes": 2_129_920_000_000_u64,
            "page_cache_bytes": 52_428_800_000_u64, "swap_total_bytes": 0,
            "hugepages_total": 1024, "hugepages_free": 512, "hugepage_bytes": 2_097_152})
    );
    // The narrowest limit on the way up counts: the scope's CPUs and memory.
    assert_eq!(
        report["cgroup"],
        json!({"version": 2, "path": "/system.slice/slurm.scope/job_7", "cpu_quota_cores": 64.0,
            "cpus": "0-55,112-119", "cpus_count": 64, "memory_limit_bytes": 549_755_813_888_u64,
            "memory_high_bytes": 412_316_860_416_u64, "memory_used_bytes": 123_456_789,
            "pids_max": 65536})
    );
    assert_eq!(report["pressure"]["of"], "node");
    assert_eq!(report["cgroup_pressure"]["of"], "cgroup");
    assert_eq!(
        report["cgroup_pressure"]["io"],
        json!({"some_percent_10s": 0.75, "some_seconds_total": 0.25, "full_percent_10s": 0.25,
            "full_seconds_total": 0.125})
    );
    assert_eq!(report["cgroup_pressure"]["cpu"]["some_percent_10s"], 12.5);
    assert_eq!(
        columns(&report["nics"], &NIC),
        json!([["ibp24s0", "up", 400_000_000_000_u64, 4092, "mlx5_core", 0]])
    );
    assert_eq!(report["nics"][0]["pci_address"], "0000:18:00.1");
    assert_eq!(report["nics"][0]["receive_queues"], 2);
    assert_eq!(
        report["rdma"],
        json!([{"name": "mlx5_0", "numa_node": 0, "ports": [{"port": 1, "state": "ACTIVE",
            "link_layer": "InfiniBand", "bits_per_s": 400_000_000_000_u64}]}])
    );
    assert_eq!(
        columns(&report["scratch"], &SCRATCH),
        json!([
            ["/", "ext4", "raid", "raid1", 2],
            ["/raid", "xfs", "raid", "raid0", 8],
            ["/dev/shm", "tmpfs", "memory", null, null],
            ["/home", "nfs4", "network", null, null],
        ])
    );
    assert_eq!(report["scratch"][1]["read_ahead_bytes"], 4_194_304);
    assert_eq!(report["scratch"][1]["scheduler"], "none");
    let uring = &report["io_uring"];
    assert_eq!((&uring["available"], &uring["sysctl_disabled"]), (&json!(false), &json!(2)));
    assert_eq!(uring["seccomp_mode"], 0);
    // Where GPUs sit is read from the tree too.
    let place = columns(&report["gpu"]["gpus"], &["numa_node", "cpu_affinity"]);
    assert_eq!(place[0], json!([0, "0-55,112-167"]));
    assert_eq!(place[4], json!([1, "56-111,168-223"]));
    assert_eq!(place[1], json!([null, null]));
    let fields = &report["resource"]["allocatable_fields"];
    assert_eq!(*fields, json!({"cpu": "224", "memory": "2113480340Ki", "nvidia.com/gpu": "8"}));
}

#[test]
fn a_pod_on_a_p5() {
    let report = report("p5.48xlarge", None);
    assert_eq!((&report["hostname"], &report["cpu"]["online"]), (&json!("task-0"), &json!(192)));
    // In its namespace the container's group is the mount's root.
    assert_eq!(
        report["cgroup"],
        json!({"version": 2, "path": "/", "cpu_quota_cores": 2.5, "cpus": null,
            "cpus_count": null, "memory_limit_bytes": 8_589_934_592_u64,
            "memory_high_bytes": null, "memory_used_bytes": 104_857_600, "pids_max": null})
    );
    assert_eq!(report["pressure"]["of"], "node");
    assert_eq!(report["pressure"]["cpu"]["full_percent_10s"], Value::Null);
    assert_eq!(report["pressure"]["memory"]["full_seconds_total"], 1.0);
    assert_eq!(report["pressure"]["io"], Value::Null);
    assert_eq!(
        columns(&report["nics"], &NIC),
        json!(
            [["ens32", "down", null, null, "ena", null], ["eth0", "up", null, 9001, null, null],]
        )
    );
    assert_eq!(
        columns(&report["rdma"], &["name", "ports"]),
        json!([
            ["rdmap79s0", [{"port": 1, "state": "ACTIVE", "link_layer": "Unspecified",
                "bits_per_s": 100_000_000_000_u64}]],
            ["rdmap80s0", [{"port": 1, "state": "DOWN", "link_layer": null, "bits_per_s": null}]],
        ])
    );
    assert_eq!(
        columns(&report["scratch"], &SCRATCH),
        json!([
            ["/", "overlay", "overlay", null, null],
            ["/osmo/data", "xfs", "raid", "raid0", 8],
            ["/fsx", "lustre", "network", null, null],
            ["/dev/shm", "tmpfs", "memory", null, null],
        ])
    );
    assert_eq!(report["io_uring"]["seccomp_mode"], 2);
    assert_eq!(report["gpu"], json!({"driver": null, "gpus": [], "notes": []}));
}

/// NVML numbers processes as the node does, and so does the tree.
#[test]
fn processes_have_the_trees_names() {
    let mut profile = profile("h100x8");
    let list: Vec<Value> =
        (31333..=31338).map(|pid| json!({"pid": pid, "used": 1 << 30})).collect();
    profile["gpus"][0]["nvmlDeviceGetComputeRunningProcesses_v3"] = json!(list);
    let node = Node::new(&profile);
    let root = lay("dgx-h100", &node.path().join("root"));
    std::fs::create_dir_all(root.join("proc/31333")).unwrap();
    std::fs::write(root.join("proc/31333/comm"), "odd\x1b[31m\n").unwrap();
    let args = ["--sysroot", root.to_str().unwrap()];
    let json = read(&node.command("report", &[&["--json"], &args[..]].concat()).output().unwrap());
    let names = columns(&json["gpu"]["gpus"][0]["processes"], &["pid", "name"]);
    assert_eq!(names[0], json!([31333, "odd?[31m"]));
    assert_eq!(names[1], json!([31334, null]), "it has ended");
    assert_eq!(names[4], json!([31337, "pt_main_thread"]));
    let table = node.text(&args);
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("    ·")).take(5).collect();
    assert_eq!(rows[0], "    · 31333 odd?[31m 1.0 GiB");
    assert_eq!(rows[1], "    · 31334 – 1.0 GiB");
    assert_eq!(rows[4], "    · and 2 more processes");
}

#[test]
fn a_gb200_tray() {
    let report = report("gb200", Some("gb200"));
    assert_eq!(report["cpu"]["model"], Value::Null);
    assert_eq!(
        columns(&report["cpu"]["numa_nodes"], &["node", "cpus", "memory_total_bytes"]),
        json!([
            [0, "0-71", 514_048_000_000_u64],
            [1, "72-143", null],
            [2, "", 197_836_800_000_u64],
            [10, "", null],
        ])
    );
    assert_eq!(report["memory"]["hugepage_bytes"], 536_870_912);
    assert_eq!(report["cgroup"], Value::Null);
    assert_eq!(report["pressure"]["of"], Value::Null);
    assert_eq!(
        columns(&report["scratch"], &SCRATCH),
        json!([["/", "ext4", "nvme", null, null], ["/weka", "wekafs", "network", null, null]])
    );
    assert_eq!(report["scratch"][0]["scheduler"], "none");
    assert_eq!(
        columns(&report["nics"], &NIC),
        json!([["enP5p9s0", "up", 200_000_000_000_u64, null, "mlx5_core", 1]])
    );
    let place = columns(&report["gpu"]["gpus"], &["pci_bus_id", "numa_node", "cpu_affinity"]);
    assert_eq!(place[1], json!(["0009:01:00.0", 0, "0-71"]));
}

#[test]
fn a_workstation_with_the_first_version_of_control_groups() {
    let report = report("workstation", None);
    assert_eq!(
        report["cgroup"],
        json!({"version": 1, "path": "/user.slice/job", "cpu_quota_cores": 8.0, "cpus": "0-15",
            "cpus_count": 16, "memory_limit_bytes": 17_179_869_184_u64, "memory_high_bytes": null,
            "memory_used_bytes": 1_073_741_824, "pids_max": 4915})
    );
    assert_eq!(
        columns(&report["scratch"], &["path", "kind", "scheduler"]),
        json!([["/", "ssd", "mq-deadline"], ["/data two", "disk", "bfq"]])
    );
    assert_eq!(
        columns(&report["nics"], &NIC),
        json!([["eno1", "up", 10_000_000_000_u64, null, null, null]])
    );
}

#[test]
fn a_laptop() {
    let report = report("laptop", None);
    let group = &report["cgroup"];
    assert_eq!(
        (&group["memory_limit_bytes"], &group["memory_used_bytes"]),
        (&Value::Null, &json!(4096))
    );
    assert_eq!((&group["cpu_quota_cores"], &group["cpus"]), (&Value::Null, &Value::Null));
    assert_eq!(report["kernel"]["release"], Value::Null);
    assert_eq!(
        columns(&report["scratch"], &["path", "fs", "kind", "device"]),
        json!([
            ["/", "btrfs", "virtual", "/dev/mapper/root"],
            ["/tmp", "tmpfs", "memory", "tmpfs"]
        ])
    );
    assert_eq!(columns(&report["nics"], &NIC), json!([["wlp1s0", "up", null, 1500, null, null]]));
}

/// What the kubelet binds into a pod are files; `net_cls` alone is mounted the
/// first version's way, which takes no limit away.
#[test]
fn a_pod_with_bound_files_and_one_stray_controller() {
    let report = report("pod", None);
    assert_eq!(
        columns(&report["scratch"], &["path", "fs", "kind"]),
        json!([["/", "overlay", "overlay"], ["/data", "xfs", "virtual"]])
    );
    let group = &report["cgroup"];
    assert_eq!((&group["version"], &group["memory_limit_bytes"]), (&json!(2), &json!(1_048_576)));
    let fields = report["resource"]["allocatable_fields"].as_object().unwrap();
    assert!(!fields.contains_key("nvidia.com/gpu"), "nobody looked for GPUs");
}

/// What a node's agent is for: the node's limits, mounts and confinement.
#[test]
fn an_agents_pod_tells_its_nodes_facts() {
    let report = report("agents-pod", None);
    let group = &report["cgroup"];
    assert_eq!((&group["version"], &group["path"]), (&json!(2), &json!("/init.scope")));
    assert_eq!(group["memory_used_bytes"], 12_582_912);
    // The root's limit, on the way up.
    assert_eq!(group["memory_limit_bytes"], 1_048_576);
    assert_eq!(report["cgroup_pressure"]["cpu"]["some_seconds_total"], 7.0);
    assert_eq!(
        columns(&report["scratch"], &["path", "fs"]),
        json!([["/", "ext4"], ["/raid", "xfs"]])
    );
    let uring = &report["io_uring"];
    assert_eq!((&uring["seccomp_mode"], &uring["available"]), (&json!(0), &json!(false)));
    assert_eq!(uring["reason"], "kernel.io_uring_disabled is 2");
}

/// A folder with this machine's `/proc` and `/sys`, as a pod mounts its node.
fn mounted() -> Node {
    let node = Node::new(&Value::Null);
    for name in ["proc", "sys"] {
        std::os::unix::fs::symlink(format!("/{name}"), node.path().join(name)).unwrap();
    }
    node
}

#[test]
fn another_mount_of_this_machine_has_its_name_and_space() {
    let node = mounted();
    // A place of the same name, which is not the mount.
    for folder in ["etc", "dev/shm"] {
        std::fs::create_dir_all(node.path().join(folder)).unwrap();
    }
    std::fs::write(node.path().join("etc/hostname"), "worker-7\n").unwrap();
    let mut command = node.bare("report", &["--json", "--sysroot", node.path().to_str().unwrap()]);
    let report = read(&command.output().unwrap());
    assert_eq!(report["hostname"], "worker-7");
    assert_eq!(report["resource"]["hostname"], "worker-7");
    assert_ne!(report["io_uring"]["available"], true, "which this process cannot tell");
    // Nothing but /proc and /sys is mounted: what else has a path here is on the disk of
    // this folder, whose space is no other mount's.
    let here = std::fs::metadata(node.path()).unwrap().dev();
    for disk in report["scratch"].as_array().unwrap() {
        let path = disk["path"].as_str().unwrap();
        let of = std::fs::metadata(path).map(|data| data.dev());
        let told = !disk["total_bytes"].is_null();
        assert!(!told || of.is_ok_and(|of| of == here), "{disk}");
    }
}

/// As a pod whose node's whole tree is mounted has it.
#[test]
fn the_nodes_whole_tree_has_its_space() {
    let node = Node::new(&Value::Null);
    let scratch = |args: &[&str]| {
        let report = read(&node.bare("report", args).output().unwrap());
        columns(&report["scratch"], &["path", "total_bytes"])
    };
    let whole = scratch(&["--json", "--sysroot", "/"]);
    assert!(whole.as_array().unwrap().iter().any(|disk| disk[1].is_u64()), "{whole}");
}

/// As a pod mounts its host: the GPUs are this machine's.
#[test]
fn another_mount_of_this_machine_has_its_gpus() {
    let node = mounted();
    let gpu = |args: &[&str]| {
        let report = read(&node.bare("report", args).output().unwrap());
        let gpus = report["gpu"]["gpus"].as_array().unwrap().len();
        (report["gpu"]["driver"].clone(), gpus, report["gpu"]["notes"].clone())
    };
    let bare = gpu(&["--json"]);
    assert_ne!(bare, (Value::Null, 0, json!([])), "there is a driver, or a note");
    assert_eq!(gpu(&["--json", "--sysroot", node.path().to_str().unwrap()]), bare);
}

#[test]
fn an_empty_tree_is_a_report_of_nothing() {
    let node = Node::new(&Value::Null);
    let args = ["--json", "--sysroot", node.path().to_str().unwrap()];
    let report = read(&node.bare("report", &args).output().unwrap());
    assert_eq!((&report["hostname"], &report["cpu"]["online"]), (&json!(""), &json!(0)));
    assert_eq!((&report["nics"], &report["scratch"]), (&json!([]), &json!([])));
}
