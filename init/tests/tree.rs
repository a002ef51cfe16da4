//! The program against a temporary tree: what it leaves behind, and with which
//! modes.
#![allow(clippy::unwrap_used)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
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
    let client = image.join("osmo_cli_onedir/osmo/osmo-cli/osmo-cli");
    fs::set_permissions(client, Permissions::from_mode(0o755)).unwrap();
}

/// Runs the program as a pod would, under a umask that takes everything from
/// others, so that a mode left to the umask shows.
fn run(root: &Path, more: &str) -> Output {
    let script = script(env!("CARGO_BIN_EXE_osmo-init"), more);
    Command::new("sh").args(["-c", &script]).current_dir(root).output().unwrap()
}

fn script(program: &str, more: &str) -> String {
    format!(
        "umask 077; exec {program} --data_location data --login_location login \
         --user_bin_location usr/bin --run_location run --binaries_location binaries \
         --image_location image {more}"
    )
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

/// OSMO's own program leaves these to its umask; ours lets every member of the
/// pod put files there.
const WIDER: [&str; 2] = ["login/ctrl", "login/user"];

/// What OSMO's own program does not leave: the token, and what goes with rsync.
const OURS: [&str; 3] =
    ["444 f data/socket/handoff", "444 f usr/bin/LICENSE.rsync", "444 f usr/bin/NOTICE.rsync"];

/// Row by row what OSMO's own program left of the same image, and no more than
/// ours besides. The umask here takes everything from others, the one there did
/// not: no mode is left to it.
#[test]
fn a_fresh_pod_gets_the_tree_of_osmo_s_own_program() {
    let root = TempDir::new().unwrap();
    image(root.path());
    fs::create_dir_all(root.path().join("data/lost+found")).unwrap();
    fs::create_dir_all(root.path().join("usr/bin")).unwrap();
    let output = run(root.path(), "--enable_rsync");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");

    let wider = |line: &str| match line.split(' ').nth(2) {
        Some(path) if WIDER.contains(&path) => format!("777 d {path}"),
        _ => line.to_owned(),
    };
    let mut wanted: Vec<String> = include_str!("recorded/tree.txt").lines().map(wider).collect();
    wanted.extend(OURS.map(str::to_owned));
    wanted.sort();
    let mut found = listing(root.path(), &["data", "login", "run", "binaries", "usr/bin"]);
    found.retain(|line| !line.ends_with("lost+found"));
    assert_eq!(found, wanted);

    let read = |name: &str| fs::read_to_string(root.path().join(name)).unwrap();
    assert_eq!(read("binaries/osmo/osmo_ctrl"), "ctrl");
    assert_eq!(read("binaries/osmo/osmo_exec"), "exec");
    assert_eq!(read("usr/bin/rsync"), "rsync");
    assert_eq!(read("login/ctrl/config/login.yaml"), "url: x");
    assert_eq!(read("login/user/config/login.yaml"), "url: x");
    assert_eq!(read("login/user/config/config.yaml"), "auth: y");
    assert_eq!(read("usr/bin/osmo"), "client");
    assert_eq!(read("usr/bin/osmo_cli/osmo/autocomplete.bash"), "complete");
}

/// The image runs as uid 1001 on volumes of root's, and the pod's containers as
/// anyone: another user fills every folder, and runs every program.
#[test]
fn any_user_of_the_pod_can_use_the_tree() {
    if !is_root() {
        return skip("only root can be several users");
    }
    let root = TempDir::new().unwrap();
    image(root.path());
    for place in [".", "data", "login", "usr", "usr/bin", "run", "binaries"] {
        fs::create_dir_all(root.path().join(place)).unwrap();
        fs::set_permissions(root.path().join(place), Permissions::from_mode(0o777)).unwrap();
    }
    for (name, script) in [("rsync", "#!/bin/sh\n"), ("osmo_exec", "#!/bin/sh\n")] {
        fs::write(root.path().join("image").join(name), script).unwrap();
    }
    let program = root.path().join("osmo-init");
    fs::copy(env!("CARGO_BIN_EXE_osmo-init"), &program).unwrap();
    let output = as_user(1001, root.path(), &script(program.to_str().unwrap(), "--enable_rsync"));
    assert!(output.status.success(), "{output:?}");
    let owners = Command::new("find")
        .args(["data", "login", "run", "binaries", "usr/bin", "-mindepth", "1"])
        .args(["-not", "-uid", "1001"])
        .current_dir(root.path())
        .output()
        .unwrap();
    assert_eq!((owners.status.success(), owners.stdout.len()), (true, 0), "{owners:?}");
    let everywhere = "set -e
        for folder in data/benchmarks data/input data/output data/socket run/workspace \
            login/ctrl/config login/user/config usr/bin/osmo_cli; do echo x >$folder/mine; done
        for file in login/ctrl/config/login.yaml login/user/config/login.yaml \
            login/user/config/config.yaml; do echo x >>$file; done
        cat data/socket/handoff usr/bin/osmo usr/bin/osmo_cli/osmo/autocomplete.bash >/dev/null
        usr/bin/rsync; binaries/osmo/osmo_exec";
    let output = as_user(2002, root.path(), everywhere);
    assert!(output.status.success(), "{output:?}");
    // The real program, which a pod runs under its own name, is nobody else's.
    let output = as_user(2002, root.path(), "echo x >>usr/bin/rsync");
    assert!(!output.status.success(), "{output:?}");
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

fn as_user(id: u32, folder: &Path, script: &str) -> Output {
    let (user, group) = (format!("--reuid={id}"), format!("--regid={id}"));
    Command::new("setpriv")
        .args([&user, &group, "--clear-groups", "sh", "-c", script])
        .current_dir(folder)
        .output()
        .unwrap()
}

/// Says why a test cannot run here; fails instead where none may be skipped.
#[allow(clippy::print_stderr, reason = "a skipped test must be seen")]
fn skip(reason: &str) {
    assert!(std::env::var_os("OSMO_TEST_STRICT").is_none(), "skipped: {reason}");
    eprintln!("skipped: {reason}");
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
    let wanted = [
        "755 d usr/bin/osmo_cli/osmo",
        "755 d usr/bin/osmo_cli/osmo/osmo-cli",
        "755 f usr/bin/osmo_cli/osmo/osmo-cli/osmo-cli",
        "777 d usr/bin/osmo_cli",
        "777 l usr/bin/osmo osmo_cli/osmo/osmo-cli/osmo-cli",
    ];
    assert_eq!(listing(root.path(), &["usr/bin"]), wanted);
}

#[test]
fn links_within_the_client_stay_links() {
    let root = TempDir::new().unwrap();
    image(root.path());
    let alias = root.path().join("image/osmo_cli_onedir/osmo/osmo-cli/alias");
    std::os::unix::fs::symlink("osmo-cli", alias).unwrap();
    assert!(run(root.path(), "").status.success());
    let found = listing(root.path(), &["usr/bin"]);
    let link = "777 l usr/bin/osmo_cli/osmo/osmo-cli/alias osmo-cli";
    assert!(found.iter().any(|line| line == link), "{found:#?}");
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
