//! Where a comparison runs, and what every program in it is told.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use jiff::Timestamp;

use crate::measure::output;
use crate::peer::{Peer, Places, on_path};
use crate::record::Environment;

/// Of every server here.
pub(crate) const ACCESS_KEY: &str = "benchkey";
/// Of every server here; it opens nothing else.
pub(crate) const SECRET_KEY: &str = "benchsecret12345";

/// The environment of every peer: its own programs first, one key, no settings
/// of the user's.
pub(crate) fn of_peers(bin: &Path, work: &Path, ca: &Path) -> Vec<(OsString, OsString)> {
    let mut path = OsString::from(bin);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut pairs: Vec<(OsString, OsString)> =
        vec![("PATH".into(), path), ("HOME".into(), work.into())];
    if ca.exists() {
        pairs.push(("AWS_CA_BUNDLE".into(), ca.into()));
        pairs.push(("SSL_CERT_FILE".into(), ca.into()));
        pairs.push(("CURL_CA_BUNDLE".into(), ca.into()));
    }
    let fixed = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("RCLONE_CONFIG", "/dev/null"),
        ("NO_PROXY", "127.0.0.1"),
        ("LC_ALL", "C.UTF-8"),
    ];
    pairs.extend(fixed.map(|(name, value)| (name.into(), value.into())));
    pairs
}

/// The machine and the programs.
pub(crate) fn describe(peers: &[Peer], places: &Places) -> Environment {
    Environment { versions: versions(peers, places), ..machine() }
}

/// The machine alone.
pub(crate) fn machine() -> Environment {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let kib = field(&read("/proc/meminfo"), "MemTotal").replace(" kB", "").parse::<f64>();
    let load = read("/proc/loadavg");
    // What a distributor appends says more about the machine than about Linux.
    let release = read("/proc/sys/kernel/osrelease");
    let release = release.trim().split('-').next().unwrap_or_default();
    let now = Timestamp::now().to_string();
    Environment {
        date: now.get(..16).unwrap_or(&now).replace('T', " "),
        kernel: format!("Linux {release}"),
        cpu: field(&read("/proc/cpuinfo"), "model name"),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_gib: kib.unwrap_or(0.0) / f64::from(1 << 20),
        load_before: load.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0),
        versions: BTreeMap::new(),
    }
}

/// First lines only; what does not answer is not listed.
fn versions(peers: &[Peer], places: &Places) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut note = |name: &str, text: &str| {
        let line = text.lines().next().unwrap_or_default().trim();
        // curl and aws tell their whole story.
        let line = line.split(" (").next().unwrap_or_default();
        let line = line.split(" Python/").next().unwrap_or_default();
        found.insert(name.to_owned(), line.to_owned());
    };
    for peer in peers {
        let (program, args) = peer.version(places);
        if let Ok(text) = output(&program.to_string_lossy(), &args) {
            note(peer.name(), &text);
        }
    }
    if let Ok(text) = output("git", &["rev-parse", "--short=12", "HEAD"]) {
        note("this tree", &text);
    }
    if let Ok(text) = output(&places.bin.join("weed").to_string_lossy(), &["version"]) {
        note("SeaweedFS", text.trim_start_matches("version 8000GB "));
    }
    // nginx says it on stderr.
    let nginx = on_path("nginx").unwrap_or_default();
    if let Ok(said) = std::process::Command::new(nginx).arg("-v").output() {
        note("nginx", String::from_utf8_lossy(&said.stderr).trim_start_matches("nginx version: "));
    }
    found
}
