#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::Path;

use super::table::{Stability, TABLE};
use super::{Health, Place};
use crate::console::Console;
use crate::meters::Meters;
use crate::service::outbox::Outbox;

#[test]
fn only_loopback_and_absolute_sockets_are_served() {
    let place = |text| Place::parse(text).map_err(|failure| failure.sentence);
    assert_eq!(place(""), Ok(None));
    let tcp = |text: &str| Ok(Some(Place::Tcp(text.parse().unwrap())));
    assert_eq!(place("127.0.0.1:9100"), tcp("127.0.0.1:9100"));
    assert_eq!(place("localhost:1"), tcp("127.0.0.1:1"));
    assert_eq!(place("[::1]:0"), tcp("[::1]:0"));
    assert_eq!(place("unix:/run/x"), Ok(Some(Place::Unix("/run/x".into()))));
    for bad in ["0.0.0.0:1", "[::]:1", "10.0.0.1:80", "unix:x", "9100", ":9100", "localhost:x"] {
        let failure = Place::parse(bad).unwrap_err();
        assert_eq!(failure.code.code(), 30, "{bad}");
        assert!(failure.sentence.contains(bad), "{}", failure.sentence);
    }
}

#[tokio::test]
async fn a_file_at_the_socket_s_place_is_no_stale_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("health");
    std::fs::write(&path, "mine").unwrap();
    let outbox = std::sync::Arc::new(Outbox::new(1));
    let serve = || {
        Health::serve(Place::Unix(path.clone()), Meters::new(), outbox.clone(), Console::new(true))
    };
    assert_eq!(serve().unwrap_err().code.code(), 30);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    std::fs::remove_file(&path).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let health = serve().unwrap();
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    drop(health);
    assert!(!path.exists());
}

/// `UPDATE=1 cargo test -p osmo-ctrl --lib the_page` rewrites it.
#[test]
fn the_page_is_the_table_s() {
    let mut page = String::from(
        "# Metrics of the sidecar\n\n\
         Served at `/metrics` where `-health` says, in Prometheus' text format. A stable name\n\
         keeps its meaning until the next major version; one on trial may change with any.\n\
         Made from `ctrl/src/health/table.rs`.\n\n\
         | name | shape | unit | labels | stability | |\n|---|---|---|---|---|---|\n",
    );
    for metric in &TABLE {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let stability = match metric.stability {
            Stability::Stable => "stable",
            Stability::Trial => "trial",
        };
        let (name, shape, unit) = (metric.name, metric.shape.name(), metric.unit);
        let (labels, about) = (labels.join(", "), metric.about);
        writeln!(page, "| `{name}` | {shape} | {unit} | {labels} | {stability} | {about} |")
            .unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/METRICS.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, page, "stale: UPDATE=1 cargo test -p osmo-ctrl --lib the_page");
}

#[test]
fn names_follow_their_shapes_and_units() {
    for metric in &TABLE {
        let name = metric.name;
        let is_counter = metric.shape.name() == "counter";
        assert_eq!(name.ends_with("_total"), is_counter, "{name}");
        if matches!(metric.unit, "bytes" | "seconds") {
            let bare = name.trim_end_matches("_total");
            assert!(bare.ends_with(metric.unit), "{name} is not in {}", metric.unit);
        }
        let same = TABLE.iter().filter(|other| other.name == name).count();
        assert_eq!(same, 1, "{name}");
    }
}
