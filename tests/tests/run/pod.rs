//! What the pod of a run is started with, as the pod of a cluster is.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use super::desk::{Desk, example, said};
use super::live::{Live, UNTIL_DONE, has, text};

#[test]
fn the_sidecar_tells_how_it_is() {
    if !has("curl") {
        return;
    }
    let live = Live::start(UNTIL_DONE);
    let trees = fs::read_dir(live.desk.work.path()).unwrap().flatten();
    let sockets = trees.flat_map(|tree| fs::read_dir(tree.path()).unwrap().flatten());
    let below = sockets.map(|entry| entry.path().join("health.sock"));
    let sockets: Vec<PathBuf> = below.filter(|path| path.exists()).collect();
    let [socket] = &sockets[..] else { panic!("one task, but these: {sockets:?}") };
    let ask = |path: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-w", "%{http_code}", "--unix-socket"]).arg(socket);
        text(&curl.arg(format!("http://pod{path}")).output().unwrap().stdout)
    };
    assert!(ask("/healthz").ends_with("200"));
    assert!(ask("/readyz").ends_with("200"));
    let metrics = ask("/metrics");
    assert!(metrics.contains("\nosmo_") && metrics.ends_with("200"), "{metrics}");
    live.exec("touch /osmo/output/done");
    assert_eq!(live.end(), Some(0));
}

#[test]
fn the_sidecar_has_the_grace_of_the_run() {
    for (flags, seconds) in [(&[][..], "30"), (&["--grace", "7"], "7")] {
        let live = Live::start_with(UNTIL_DONE, flags);
        let wanted = format!("\0-gracePeriod\0{seconds}\0");
        let processes = live.desk.processes();
        let sidecar = processes.iter().find(|line| line.starts_with("osmo-ctrl\0")).unwrap();
        assert!(sidecar.contains(&wanted), "{sidecar:?}");
        live.exec("touch /osmo/output/done");
        assert_eq!(live.end(), Some(0));
    }
}

#[test]
fn rsync_reaches_the_folders_that_the_run_allows() {
    if !has("rsync") {
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    let there = |name: &str| folder.path().join(name);
    for name in ["open", "shut", "got"] {
        fs::create_dir(there(name)).unwrap();
    }
    fs::write(there("shut/weights"), "of a model\n").unwrap();
    fs::write(there("mine"), "from here\n").unwrap();
    let (open, shut) = (there("open").display().to_string(), there("shut").display().to_string());
    let allow = [format!("open:{open}:true"), format!("shut:{shut}:false")];
    let flags = ["--rsync-allow", &allow[0], "--rsync-allow", &allow[1]];
    let live = Live::start_with(UNTIL_DONE, &flags);
    let rsync = |way: &str, from_to: String| -> Output {
        live.osmo(&[way, "live-1", "only", &from_to]).output().unwrap()
    };
    let mine = there("mine").display().to_string();
    let taken = rsync("rsync upload", format!("{mine}:{open}/"));
    assert!(taken.status.success(), "{}", said(&taken));
    assert_eq!(fs::read_to_string(there("open/mine")).unwrap(), "from here\n");
    let given = rsync("rsync download", format!("{shut}/weights:{}", there("got").display()));
    assert!(given.status.success(), "{}", said(&given));
    assert_eq!(fs::read_to_string(there("got/weights")).unwrap(), "of a model\n");
    let refused = rsync("rsync upload", format!("{mine}:{shut}/"));
    assert!(said(&refused).contains("can be written"), "{}", said(&refused));
    assert!(!refused.status.success() && !there("shut/mine").exists());
    live.exec("touch /osmo/output/done");
    assert_eq!(live.end(), Some(0));
}

#[test]
fn a_folder_for_rsync_that_says_too_little_is_refused() {
    for entry in ["models:/data", "models:data:true", ":/data:true", "a:/b:yes", "a:/b,c:true"] {
        let desk = Desk::new();
        let output = desk.run(&example("hello.yaml"), &["--rsync-allow", entry]);
        assert_eq!(output.status.code(), Some(64), "{}", said(&output));
        assert!(said(&output).contains("NAME:PATH:WRITABLE"), "{}", said(&output));
    }
}
