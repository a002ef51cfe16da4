//! The program against a temporary tree: what it leaves behind, and with which
//! modes.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// An image as the init container finds it.
fn image(root: &Path) {
    let image = root.join("image");
    fs::create_dir_all(image.join("osmo_cli_onedir/osmo/osmo-cli")).unwrap();
    for (name, text) in [
        ("osmo_ctrl", "ctrl"),
        ("osmo_exec", "exec"),
        ("rsync", "rsync"),
        ("LICENSE.rsync", "license"),
        ("NOTICE.rsync", "notice"),
        ("login.yaml", "url: x"),
        ("user_config.yaml", "auth: y"),
        ("osmo_cli_onedir/osmo/osmo-cli/osmo-cli", "client"),
        ("osmo_cli_onedir/osmo/autocomplete.bash", "complete"),
    ] {
        fs::write(image.join(name), text).unwrap();
    }
    std::os::unix::fs::symlink("osmo-cli", image.join("osmo_cli_onedir/osmo/osmo-cli/alias"))
        .unwrap();
}

/// Runs the program as a pod would, under a umask that takes everything from
/// others, so that a mode left to the umask shows.
fn run(root: &Path, more: &str) -> Output {
    let script = format!(
        "umask 077; exec \"$0\" --data_location data --login_location login \
         --user_bin_location usr/bin --run_location run --binaries_location binaries \
         --image_location image {more}"
    );
    Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_osmo-init")])
        .current_dir(root)
        .output()
        .unwrap()
}

/// Every path below `root` with mode and link target, as `find` tells it.
fn listing(root: &Path, places: &[&str]) -> Vec<String> {
    let output = Command::new("find")
        .args(places)
        .args(["-mindepth", "1", "-printf", "%m %y %p %l\n"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = text.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.sort();
    lines
}

#[test]
fn a_fresh_pod_gets_its_tree() {
    let root = TempDir::new().unwrap();
    image(root.path());
    fs::create_dir_all(root.path().join("data/lost+found")).unwrap();
    fs::create_dir_all(root.path().join("usr/bin")).unwrap();
    let output = run(root.path(), "--enable_rsync");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");

    let found = listing(root.path(), &["data", "login", "run", "binaries", "usr/bin"]);
    for line in [
        "777 d data/benchmarks",
        "777 d data/input",
        "777 d data/output",
        "777 d data/socket",
        "444 f data/socket/handoff",
        "777 d login/ctrl",
        "777 d login/ctrl/config",
        "777 f login/ctrl/config/login.yaml",
        "777 d login/user",
        "777 d login/user/config",
        "777 f login/user/config/login.yaml",
        "777 f login/user/config/config.yaml",
        "777 d run/workspace",
        "777 f binaries/osmo/osmo_ctrl",
        "777 f binaries/osmo/osmo_exec",
        "777 d usr/bin/osmo_cli",
        "777 l usr/bin/osmo osmo_cli/osmo/osmo-cli/osmo-cli",
        "777 l usr/bin/osmo_cli/osmo/osmo-cli/alias osmo-cli",
        "755 f usr/bin/rsync",
        "444 f usr/bin/LICENSE.rsync",
        "444 f usr/bin/NOTICE.rsync",
    ] {
        assert!(found.iter().any(|have| have == line), "no `{line}` in {found:#?}");
    }
    let read = |name: &str| fs::read_to_string(root.path().join(name)).unwrap();
    assert_eq!(read("binaries/osmo/osmo_ctrl"), "ctrl");
    assert_eq!(read("login/user/config/config.yaml"), "auth: y");
    assert_eq!(read("usr/bin/osmo"), "client");
    assert_eq!(read("usr/bin/osmo_cli/osmo/autocomplete.bash"), "complete");
}

#[test]
fn tokens_are_long_and_differ() {
    let token = || {
        let root = TempDir::new().unwrap();
        assert!(run(root.path(), "--binaries none --login optional").status.success());
        fs::read_to_string(root.path().join("data/socket/handoff")).unwrap()
    };
    let (first, second) = (token(), token());
    assert_eq!(first.len(), 32);
    assert!(first.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(first, second);
}

#[test]
fn a_volume_in_use_is_left_alone() {
    let root = TempDir::new().unwrap();
    image(root.path());
    fs::create_dir(root.path().join("data")).unwrap();
    fs::write(root.path().join("data/mine"), "").unwrap();
    let before = listing(root.path(), &["."]);
    let output = run(root.path(), "");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(listing(root.path(), &["."]), before);
}

#[test]
fn one_program_serves_as_the_client() {
    let root = TempDir::new().unwrap();
    image(root.path());
    fs::remove_dir_all(root.path().join("image/osmo_cli_onedir")).unwrap();
    fs::write(root.path().join("image/osmo"), "slim").unwrap();
    assert!(run(root.path(), "").status.success());
    assert_eq!(fs::read_to_string(root.path().join("usr/bin/osmo")).unwrap(), "slim");
    let found = listing(root.path(), &["usr/bin"]);
    assert!(found.contains(&"755 f usr/bin/osmo_cli/osmo/osmo-cli/osmo-cli".to_owned()));
    assert!(!found.iter().any(|line| line.contains("rsync")));
}

#[test]
fn failures_are_one_line_and_can_be_repeated() {
    let root = TempDir::new().unwrap();
    image(root.path());
    fs::remove_file(root.path().join("image/login.yaml")).unwrap();
    for _ in 0..2 {
        let output = run(root.path(), "");
        assert_eq!(output.status.code(), Some(1));
        let line = String::from_utf8(output.stderr).unwrap();
        assert!(line.starts_with("osmo-init: cannot copy image/login.yaml to "), "{line}");
        assert_eq!(line.lines().count(), 1);
    }
    fs::write(root.path().join("image/login.yaml"), "url: x").unwrap();
    assert!(run(root.path(), "").status.success());
}

#[test]
fn unknown_words_are_told() {
    let root = TempDir::new().unwrap();
    for more in ["--nope", "word", "--binaries maybe"] {
        let output = run(root.path(), more);
        assert_eq!(output.status.code(), Some(2), "{more}");
        assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
    }
    assert!(!root.path().join("data").exists());
}
