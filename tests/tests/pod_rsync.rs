//! `osmo rsync` through every hop: the machine's rsync, the service's router,
//! the real sidecar, the real agent and its confined daemon.

#![allow(clippy::unwrap_used)]

#[path = "pod_rsync/pod.rs"]
mod pod;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use osmo_tests::tree::random_file;
use pod::{Pod, WATCHDOG, rsync_is_here, said};

/// Files of every kind: deep, empty, linked, odd names, modes.
fn tree(root: &Path) {
    fs::create_dir_all(root.join("deep/er/still")).unwrap();
    fs::create_dir_all(root.join("empty folder")).unwrap();
    fs::write(root.join("a:b c"), "colon").unwrap();
    fs::write(root.join("ümläut \u{1f980}"), "name").unwrap();
    fs::write(root.join("nothing"), "").unwrap();
    fs::write(root.join("deep/program"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("deep/program"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("er/still", root.join("deep/link")).unwrap();
    random_file(&root.join("deep/er/big"), 5_000_001, 7).unwrap();
    for number in 0..300 {
        fs::write(root.join(format!("deep/{number}.log")), number.to_string()).unwrap();
    }
}

/// Equal as rsync sees it: names, kinds, sizes, times, modes and contents.
fn assert_same(left: &Path, right: &Path) {
    let ends = [left, right].map(|folder| format!("{}/", folder.display()));
    let output = Command::new("rsync").args(["-ncia", "--delete"]).args(&ends).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{}", said(&output));
    let output = Command::new("diff").arg("-r").args(ends).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_go_both_ways_and_stay_the_same() {
    if !rsync_is_here() {
        return;
    }
    let pod = Pod::start(&[]).await;
    let (tree_here, back) = (pod.path("tree"), pod.path("back"));
    tree(&tree_here);
    for more in ["--checksum", "--protocol=27", "--compress"] {
        pod.copies("upload", "tree:/osmo/run/workspace/up", &["-av", "--delete", more]).await;
        assert_same(&tree_here, &pod.path("run/workspace/up/tree"));
        pod.copies("download", "up/tree/:back", &["-av", "--delete", more]).await;
        assert_same(&tree_here, &back);
        fs::remove_file(tree_here.join("deep/er/big")).unwrap_or_default();
        fs::write(tree_here.join("deep/7.log"), more).unwrap();
        fs::write(pod.path("run/workspace/up/tree/extra"), more).unwrap();
        fs::write(back.join("extra"), more).unwrap();
    }
    pod.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_hold_in_both_directions() {
    if !rsync_is_here() {
        return;
    }
    let pod = Pod::start(&[]).await;
    tree(&pod.path("tree"));
    let filters = ["--include=*/", "--include=1*.log", "--exclude=*"];
    pod.copies("upload", "tree/:up", &filters).await;
    let mut back = filters.to_vec();
    back.push("--exclude=12*");
    back.rotate_right(1);
    pod.copies("download", "up/:back", &back).await;
    for number in 0..300 {
        let (name, file) = (number.to_string(), format!("deep/{number}.log"));
        let (there, here) = (pod.path("run/workspace/up"), pod.path("back"));
        assert_eq!(there.join(&file).exists(), name.starts_with('1'), "{file}");
        let wanted = name.starts_with('1') && !name.starts_with("12");
        assert_eq!(here.join(&file).exists(), wanted, "{file}");
    }
    assert!(!pod.path("run/workspace/up/nothing").exists());
    pod.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_small_files() {
    if !rsync_is_here() {
        return;
    }
    let pod = Pod::start(&[]).await;
    for number in 0..10_000 {
        let folder = pod.path(&format!("tree/{}", number % 100));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(number.to_string()), format!("file {number}")).unwrap();
    }
    pod.copies("upload", "tree/:up", &[]).await;
    assert_same(&pod.path("tree"), &pod.path("run/workspace/up"));
    pod.copies("download", "up/:back", &[]).await;
    assert_same(&pod.path("tree"), &pod.path("back"));
    pod.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_leaves_in_the_middle_leaves_nothing_behind() {
    if !rsync_is_here() {
        return;
    }
    // Slow enough to be met in the middle: with our limit, and with rsync's own
    // while the daemon has the socket to itself.
    for (limit, own) in [(&["-rsyncReadLimit", "1000000"][..], &[][..]), (&[], &["--bwlimit=1000"])]
    {
        leave_in_the_middle(limit, own).await;
    }
}

async fn leave_in_the_middle(limit: &[&str], own: &[&str]) {
    let pod = Pod::start(limit).await;
    random_file(&pod.path("big"), 60_000_000, 1).unwrap();
    let before = pod.open_files();
    let mut osmo = pod.osmo("upload", "big:up/", own);
    let mut osmo = osmo.spawn().unwrap();
    let begun = Instant::now();
    while pod.daemons() == 0 || !pod.path("run/workspace/up").exists() {
        assert!(begun.elapsed() < WATCHDOG, "the transfer does not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    osmo.kill().unwrap();
    osmo.wait().unwrap();
    while pod.daemons() > 0 || pod.open_files() > before {
        let (daemons, files) = (pod.daemons(), pod.open_files());
        assert!(begun.elapsed() < WATCHDOG, "{daemons} daemons, {files} files of {before}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pod.end().await;
}
