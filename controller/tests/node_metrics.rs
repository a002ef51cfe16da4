//! The Prometheus page against the text format's grammar, and `docs/NODE.md`
//! against what is told.

#![allow(clippy::unwrap_used)]

mod node_common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use node_common::{Node, profile};
use serde_json::{Value, json};

/// A metric: kind, help, labels in order.
type Families = BTreeMap<String, (String, String, Vec<String>)>;
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

fn is_name(name: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(begins) && name.chars().all(|c| begins(c) || c.is_ascii_digit())
}

/// `a="b",c="d"`, with the three escapes and no other.
fn labels(mut text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").unwrap();
        assert!(is_name(name) && !name.contains(':'), "{name}");
        let (mut value, mut chars) = (String::new(), rest.char_indices());
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    other => panic!("\\{other}"),
                }),
                (_, c) => value.push(c),
            }
        };
        assert!(found.insert(name.to_owned(), value).is_none(), "{name} twice");
        text = &rest[end + 1..];
        if !text.is_empty() {
            text = text.strip_prefix(',').unwrap();
            assert!(!text.is_empty(), "a comma at the end");
        }
    }
    found
}

/// Reads a page strictly: HELP, TYPE, samples, a family once and in one piece.
fn parse(text: &str) -> (Families, Samples) {
    assert!(text.ends_with('\n') && !text.contains('\r'));
    let (mut families, mut samples) = (Families::new(), Samples::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (name, help) = line.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
        assert!(is_name(name) && !help.is_empty() && !help.contains('\\'), "{line}");
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
        assert!(["gauge", "counter"].contains(&kind), "{kind}");
        let mut names = BTreeSet::new();
        let mut count = 0;
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite(), "{line}");
            let (found, pairs) = match series.split_once('{') {
                Some((found, rest)) => (found, labels(rest.strip_suffix('}').unwrap())),
                None => (series, BTreeMap::new()),
            };
            assert_eq!(found, name);
            names.extend(pairs.keys().cloned());
            assert!(samples.insert((name.to_owned(), pairs), value).is_none(), "{series} twice");
            count += 1;
        }
        assert!(count > 0, "{name} has no samples");
        let family = (kind.to_owned(), help.to_owned(), names.into_iter().collect());
        assert!(families.insert(name.to_owned(), family).is_none(), "{name} twice");
    }
    (families, samples)
}

fn page(profile: &Value, args: &[&str]) -> (Families, Samples) {
    parse(&Node::new(profile).text(&[&["--prometheus"], args].concat()))
}

/// The first page of `--watch` that satisfies: what is counted, or measured between
/// two readings, is not in the first.
fn watched(node: &Node, args: &[&str], enough: impl Fn(&Samples) -> bool) -> (Families, Samples) {
    let mut command = node.command("report", &[&["--prometheus", "--watch"], args].concat());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut text, begin) = (String::new(), Instant::now());
    let page = loop {
        let line = lines.next().unwrap().unwrap();
        if line.starts_with("# HELP osmo_node_build_info ") && !text.is_empty() {
            let page = parse(&text);
            if enough(&page.1) {
                break page;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{text}");
            text.clear();
        }
        text += &(line + "\n");
    };
    child.kill().unwrap();
    child.wait().unwrap();
    page
}

fn tells(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> bool {
    let mut keys = samples.keys();
    keys.any(|(found, pairs)| {
        found == name && labels.iter().all(|(n, v)| pairs.get(*n).is_some_and(|found| found == v))
    })
}

fn value(samples: &Samples, name: &str, wanted: &[(&str, &str)]) -> f64 {
    let is = |labels: &BTreeMap<String, String>| {
        wanted.iter().all(|(name, value)| labels.get(*name).is_some_and(|found| found == value))
    };
    let mut found = samples.iter().filter(|((n, labels), _)| n == name && is(labels));
    let one = *found.next().unwrap_or_else(|| panic!("no {name} with {wanted:?}")).1;
    assert!(found.next().is_none(), "several {name} with {wanted:?}");
    one
}

#[test]
fn values_are_in_base_units() {
    let (families, samples) = page(&profile("t4"), &[]);
    let of = |name: &str| value(&samples, name, &[("gpu", "0"), ("model", "Tesla T4")]);
    assert_eq!(of("osmo_gpu_memory_used_bytes"), 1_048_576_000.0);
    assert_eq!(of("osmo_gpu_utilization_ratio"), 0.37);
    assert_eq!(of("osmo_gpu_sm_clock_hertz"), 1.005e9);
    assert_eq!(of("osmo_gpu_power_watts"), 69.87);
    assert_eq!(of("osmo_gpu_energy_joules_total"), 987_654.321);
    assert_eq!(of("osmo_gpu_temperature_celsius"), 71.0);
    assert_eq!(of("osmo_gpu_pcie_receive_bytes_per_second"), 256e6);
    assert_eq!(of("osmo_gpu_ecc_corrected_total"), 3.0);
    assert_eq!(value(&samples, "osmo_gpu_throttled", &[("reason", "power_cap")]), 1.0);
    assert_eq!(value(&samples, "osmo_gpu_throttled", &[("reason", "idle")]), 0.0);
    assert_eq!(value(&samples, "osmo_node_gpus", &[]), 1.0);
    assert!(!families.contains_key("osmo_gpu_memory_temperature_celsius"), "a T4 has no HBM");
    for (name, (kind, help, _)) in &families {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert!(help.ends_with('.'), "{name}: {help}");
        for unit in ["_mib", "_mb", "_kib", "_percent", "_mhz", "_mw", "_ms"] {
            assert!(!name.contains(unit), "{name}");
        }
    }
}

#[test]
fn dashboards_of_dcgm_find_their_names() {
    let mut throttled = profile("h100x8");
    throttled["gpus"][0]["nvmlDeviceGetCurrentClocksEventReasons"] = json!(0x404);
    let (families, samples) = page(&throttled, &["--dcgm"]);
    let of = |name: &str| {
        value(
            &samples,
            name,
            &[
                ("gpu", "2"),
                ("device", "nvidia2"),
                ("modelName", "NVIDIA H100 80GB HBM3"),
                // As NVML, and so the exporter, writes it.
                ("pci_bus_id", "00000000:3A:00.0"),
                ("DCGM_FI_DRIVER_VERSION", "550.90.07"),
            ],
        )
    };
    assert_eq!(of("DCGM_FI_DEV_GPU_UTIL"), 99.0);
    // 70000000000 bytes are 66757.2 MiB.
    assert_eq!(of("DCGM_FI_DEV_FB_USED"), 66757.0);
    assert_eq!(of("DCGM_FI_DEV_MEMORY_TEMP"), 71.0);
    assert_eq!(of("DCGM_FI_DEV_SM_CLOCK"), 1980.0);
    assert_eq!(of("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"), 123_456_789_000.0);
    assert_eq!(of("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"), 1028.0);
    assert_eq!(of("DCGM_FI_DEV_XID_ERRORS"), 0.0);
    // Nanoseconds.
    assert_eq!(of("DCGM_FI_DEV_POWER_VIOLATION"), 12.5e9);
    assert_eq!(of("DCGM_FI_DEV_THERMAL_VIOLATION"), 3e9);
    assert_eq!(of("DCGM_FI_DEV_BOARD_LIMIT_VIOLATION"), 25e7);
    assert_eq!(of("DCGM_FI_DEV_ECC_SBE_AGG_TOTAL"), 2.0);
    assert_eq!(of("DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL"), 0.0);
    // The exporter's default set, less what needs its own profiling.
    for name in "SM_CLOCK MEM_CLOCK MEMORY_TEMP GPU_TEMP POWER_USAGE TOTAL_ENERGY_CONSUMPTION \
        PCIE_REPLAY_COUNTER GPU_UTIL MEM_COPY_UTIL ENC_UTIL DEC_UTIL XID_ERRORS FB_FREE FB_USED \
        FB_RESERVED UNCORRECTABLE_REMAPPED_ROWS CORRECTABLE_REMAPPED_ROWS ROW_REMAP_FAILURE"
        .split_whitespace()
    {
        assert!(families.contains_key(&format!("DCGM_FI_DEV_{name}")), "{name}");
    }
}

#[test]
fn what_is_not_known_is_not_zero() {
    let (families, _) = page(&json!({"gpus": [{}]}), &["--dcgm"]);
    let told: Vec<&String> = families
        .keys()
        .filter(|name| name.starts_with("osmo_gpu_") || name.starts_with("DCGM"))
        .collect();
    assert_eq!(told, ["osmo_gpu_healthy"]);
}

/// The names and units (ratios, bytes a second) of DCGM's profiling fields.
#[test]
fn a_hoppers_activity_has_dcgms_names() {
    let node = Node::new(&profile("h100x8"));
    let name = "DCGM_FI_PROF_SM_ACTIVE";
    let (_, samples) = watched(&node, &["--dcgm"], |samples| tells(samples, name, &[]));
    let of = |name: &str| value(&samples, name, &[("gpu", "6")]);
    assert_eq!((of(name), of("osmo_gpu_sm_active_ratio")), (0.9225, 0.9225));
    assert_eq!(of("DCGM_FI_PROF_GR_ENGINE_ACTIVE"), 0.985);
    assert_eq!(of("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"), 0.6375);
    assert_eq!(of("DCGM_FI_PROF_DRAM_ACTIVE"), 0.575);
    assert_eq!(of("DCGM_FI_PROF_PCIE_RX_BYTES"), 2_147_483_648.0);
    assert_eq!(of("osmo_gpu_nvlink_transmit_bytes_per_second"), 536_870_912.0);
}

#[test]
fn links_domains_and_throttling_are_told() {
    let (_, samples) = page(&profile("gh200"), &[]);
    let of = |name: &str| value(&samples, name, &[("gpu", "0")]);
    assert_eq!(of("osmo_gpu_c2c_links_active"), 9.0);
    assert_eq!(of("osmo_gpu_c2c_speed_bytes_per_second"), 447.12e9);
    assert_eq!((of("osmo_gpu_c2c_errors_total"), of("osmo_gpu_c2c_replays_total")), (1.0, 30.0));

    let (_, samples) = page(&profile("gb200"), &[]);
    let third = [("gpu", "3")];
    let speed = value(&samples, "osmo_gpu_nvlink_speed_bytes_per_second", &third);
    assert_eq!(speed, 900e9, "18 links of 50 GB/s");
    let domain = [
        ("gpu", "3"),
        ("cluster_uuid", "5b1f9c62-7c4e-4bb8-9d77-0f1e2d3c4b5a"),
        ("clique", "32766"),
        ("state", "completed"),
    ];
    assert_eq!(value(&samples, "osmo_gpu_fabric_info", &domain), 1.0);

    let (_, samples) = page(&profile("h100x8"), &[]);
    let seconds = |reason: &str| {
        value(&samples, "osmo_gpu_throttle_seconds_total", &[("gpu", "5"), ("reason", reason)])
    };
    assert_eq!((seconds("power_cap"), seconds("hardware_thermal")), (12.5, 1.0));
    let (_, samples) = page(&profile("l40s"), &[]);
    let action = [("gpu", "0"), ("action", "gpu_reset")];
    assert_eq!(value(&samples, "osmo_gpu_recovery_action_info", &action), 1.0);
}

/// As `DCGM_EXPORTER_XID_COUNT_WINDOW_SIZE`, whose default is 300000, has it.
#[test]
fn errors_of_the_last_minutes_have_dcgms_name() {
    let mut told = profile("h100x8");
    told["xids"] = json!([{"gpu": 2, "xid": 79, "count": 3}, {"gpu": 2, "xid": 48, "count": 1}]);
    let name = "DCGM_EXP_XID_ERRORS_COUNT";
    let last = [("gpu", "2"), ("xid", "48")];
    let (_, samples) = watched(&Node::new(&told), &["--dcgm"], |all| tells(all, name, &last));
    let of = |xid: &str| {
        value(&samples, name, &[("gpu", "2"), ("xid", xid), ("window_size_in_ms", "300000")])
    };
    assert_eq!((of("79"), of("48")), (3.0, 1.0));
    assert_eq!(value(&samples, name, &[("gpu", "3")]), 0.0);
    let ours = [("gpu", "2"), ("xid", "79")];
    assert_eq!(value(&samples, "osmo_gpu_xid_errors_5min", &ours), 3.0);
}

/// `increase()` needs the zero before the first error.
#[test]
fn errors_are_counted_from_nothing() {
    let (_, samples) = page(&profile("h100x8"), &[]);
    assert_eq!(value(&samples, "osmo_gpu_xids_total", &[("gpu", "2")]), 0.0);
    let other = [("gpu", "2"), ("xid", "other")];
    assert_eq!(value(&samples, "osmo_gpu_xid_errors_total", &other), 0.0);
}

#[test]
fn the_snapshots_time_is_told() {
    let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let begin = now();
    let (_, samples) = page(&profile("t4"), &[]);
    let at = value(&samples, "osmo_node_snapshot_timestamp_seconds", &[]);
    assert!(begin <= at && at <= now(), "{begin} {at}");
}

#[test]
fn labels_are_escaped() {
    let mut odd = profile("t4");
    odd["gpus"][0]["nvmlDeviceGetName"] = json!("a\\b \"c\"\nd,e=f}");
    let (_, samples) = page(&odd, &["--dcgm"]);
    let model = [("model", "a\\b \"c\"\nd,e=f}")];
    assert_eq!(value(&samples, "osmo_gpu_healthy", &model), 1.0);
}

#[test]
fn without_gpus_the_node_is_told() {
    let node = Node::new(&Value::Null);
    let output = node.bare("report", &["--prometheus", "--nvml", "/nowhere.so"]).output().unwrap();
    let (families, samples) = parse(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(value(&samples, "osmo_node_gpu_driver_up", &[]), 0.0);
    assert_eq!(value(&samples, "osmo_node_gpus", &[]), 0.0);
    assert!(families.keys().all(|name| !name.starts_with("osmo_gpu_")));
}

/// Whether the keys below are values.
fn is_a_map(path: &str) -> bool {
    [".counts", ".counts_5min"].iter().any(|name| path.ends_with(name))
}

/// Fields of a JSON value by their path.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(inner) if !is_a_map(path) => {
            for (key, value) in inner {
                fields(value, &format!("{path}.{key}"), found);
            }
        }
        Value::Array(inner) if inner.iter().any(Value::is_object) => {
            inner.iter().for_each(|value| fields(value, &format!("{path}[]"), found));
        }
        _ => {
            found.insert(path.trim_start_matches('.').to_owned());
        }
    }
}

fn part<'a>(text: &'a str, name: &str) -> &'a str {
    let rest = text.split_once(&format!("<!-- {name} -->\n")).unwrap().1;
    rest.split_once("<!-- end -->").unwrap().0
}

/// Every metric and every field of the page is told by a profile, and the
/// other way round. `UPDATE=1` writes the parts anew.
#[test]
fn the_page_is_up_to_date() {
    let mut all = profile("h100x8");
    // One link to a Grace CPU.
    for field in ["170", "171", "172", "231", "232"] {
        all["gpus"][0]["nvmlDeviceGetFieldValues"][field] = json!(1);
    }
    let mut mig = profile("a100-mig")["gpus"][0].clone();
    mig["like"] = json!(0);
    for partition in mig["mig"].as_array_mut().unwrap().iter_mut().filter(|p| p.is_object()) {
        partition["nvmlGpmMetricsGet"] = json!({"1": 1, "2": 1, "3": 1, "5": 1, "10": 1});
    }
    all["gpus"][1] = mig;
    all["xids"] = json!([{"gpu": 0, "xid": 79, "count": 1}]);
    let node = Node::new(&all);
    std::fs::create_dir_all(node.path().join("proc/pressure")).unwrap();
    let psi = "some avg10=0 avg60=0 avg300=0 total=1\nfull avg10=0 avg60=0 avg300=0 total=1\n";
    std::fs::write(node.path().join("proc/pressure/cpu"), psi).unwrap();
    let group = node.path().join("sys/fs/cgroup");
    std::fs::create_dir_all(&group).unwrap();
    std::fs::write(group.join("cpu.pressure"), psi).unwrap();
    std::fs::create_dir_all(node.path().join("proc/self")).unwrap();
    std::fs::write(node.path().join("proc/self/cgroup"), "0::/\n").unwrap();
    let mount = "1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
    std::fs::write(node.path().join("proc/self/mountinfo"), mount).unwrap();
    let nic = node.path().join("sys/class/net/eth0");
    std::fs::create_dir_all(nic.join("device")).unwrap();
    std::fs::write(nic.join("speed"), "1000").unwrap();
    std::fs::write(node.path().join("proc/meminfo"), "MemTotal: 1 kB\nMemAvailable: 1 kB\n")
        .unwrap();
    let tree = ["--dcgm", "--sysroot", node.path().to_str().unwrap()];
    let mut families = watched(&node, &tree, |samples| {
        tells(samples, "osmo_gpu_xid_errors_total", &[("xid", "79")])
            && tells(samples, "osmo_gpu_mig_sm_active_ratio", &[])
    })
    .0;
    // What only this machine's kernel tells.
    families.extend(parse(&node.text(&["--prometheus", "--dcgm"])).0);
    let mut metrics = "| name | shape | labels | |\n|---|---|---|---|\n".to_owned();
    for (name, (kind, help, labels)) in &families {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(metrics, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    let mut found = BTreeSet::new();
    fields(&Node::new(&all).json()["gpu"], "", &mut found);
    let told: String = found.iter().map(|field| format!("- `{field}`\n")).collect();

    let path = format!("{}/../docs/NODE.md", env!("CARGO_MANIFEST_DIR"));
    let written = std::fs::read_to_string(&path).unwrap();
    let parts = [("fields", told), ("metrics", metrics)];
    if std::env::var_os("UPDATE").is_some() {
        let mut page = written;
        for (name, text) in parts {
            let old = format!("<!-- {name} -->\n{}", part(&page, name));
            page = page.replace(&old, &format!("<!-- {name} -->\n{text}"));
        }
        std::fs::write(path, page).unwrap();
        return;
    }
    for (name, text) in parts {
        let (page, told) = (part(&written, name), text.as_str());
        for (lines, others, what) in [(told, page, "not in the page"), (page, told, "not told")] {
            let others: BTreeSet<&str> = others.lines().collect();
            let odd: Vec<&str> = lines.lines().filter(|line| !others.contains(line)).collect();
            assert_eq!(odd, [""; 0], "{what}: UPDATE=1 cargo test --test node_metrics the_page");
        }
    }
    for name in named() {
        let told = families.keys().any(|family| family.starts_with(&name));
        assert!(told, "{name} is in the code, and nothing here tells it");
    }
}

/// What the code calls metrics; the beginnings of those whose ends it adds.
fn named() -> BTreeSet<String> {
    let folder = format!("{}/src/node/metrics", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).unwrap();
    let texts: Vec<String> =
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let words = texts.iter().flat_map(|text| text.split('"'));
    let ours = |word: &&str| {
        let begins = ["osmo_", "DCGM_"].iter().any(|begin| word.starts_with(begin));
        // A label of DCGM's.
        begins && is_name(word) && *word != "DCGM_FI_DRIVER_VERSION"
    };
    words.filter(ours).map(str::to_owned).collect()
}
