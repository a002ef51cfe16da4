//! What a run finds on the machine, or is told to use instead.

use std::process::Command;

use osmo_tests::skip::skip;
use osmo_tests::store::TestStore;

use crate::desk::{Desk, PROGRAMS, said, shell};
use crate::stops::signal;

#[test]
fn a_state_folder_in_use_names_the_remedy() {
    let desk = Desk::new();
    let child = desk.start_text(&shell("echo ready; exec sleep 86399"), &[]);
    let output = desk.run_text(&shell("true"), &[]);
    signal(&child, rustix::process::Signal::INT);
    child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(said(&output).contains("--state"), "{}", said(&output));
}

#[test]
fn a_path_too_long_for_a_socket_names_the_remedy() {
    let mut desk = Desk::new();
    desk.work = tempfile::Builder::new().prefix(&"l".repeat(100)).tempdir().unwrap();
    let output = desk.run_text(&shell("true"), &[]);
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(said(&output).contains("--work"), "{}", said(&output));
    desk.assert_clean();
}

#[test]
fn a_memory_size_reaches_the_sidecar() {
    let desk = Desk::new();
    let text = shell("echo text > {{output}}/file");
    let output = desk.run_text(&text, &["--memory", "4MiB"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let output = desk.run_text(&text, &["--memory", "lots"]);
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
}

/// The example of W3C's Trace Context.
#[test]
fn a_trace_reaches_the_command() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let desk = Desk::new();
    let file = desk.state.path().join("workflow.yaml");
    std::fs::write(&file, shell("echo in $TRACEPARENT")).unwrap();
    let output = desk.command(&file, &[]).env("TRACEPARENT", TRACE).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains(&format!("in {TRACE}\n")), "{}", said(&output));
}

#[test]
fn a_store_that_the_user_names_is_used_instead() {
    let store = TestStore::start("mine").unwrap();
    store.put("mine", "in/file", b"from the user's store").unwrap();
    let desk = Desk::new();
    let text = format!(
        "{}    inputs:\n    - url: s3://mine/in/\n    outputs:\n    - url: s3://mine/out/\n",
        shell("cp {{input:0}}/file {{output}}/copy")
    );
    let file = desk.state.path().join("workflow.yaml");
    std::fs::write(&file, text).unwrap();
    let access = store.access();
    let output = desk
        .command(&file, &["--endpoint-url", &access.endpoint])
        .env("AWS_ACCESS_KEY_ID", &access.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &access.secret_key)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let copy = store.files().bucket("mine").unwrap().get("out/copy").unwrap();
    assert_eq!(copy.info.size, 21);
}

#[test]
fn without_a_mount_namespace_tokens_become_paths() {
    let none = "echo 0 > /proc/sys/user/max_mnt_namespaces";
    let probe = Command::new("unshare").args(["-Ur", "sh", "-c", none]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return skip("user namespaces are refused here");
    }
    let desk = Desk::new();
    let file = desk.state.path().join("workflow.yaml");
    std::fs::write(&file, shell("echo text > {{output}}/file; echo {{output}}")).unwrap();
    let command = desk.command(&file, &[]);
    let mut wrapped = Command::new("unshare");
    wrapped.args(["-Ur", "bash", "-c"]);
    wrapped.arg(format!("{none} && exec -a osmo-controller \"$0\" \"$@\"")).arg(PROGRAMS.0);
    wrapped.args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap_or_default());
    }
    let output = wrapped.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr.matches("no mount namespace here").count(), 1, "{}", said(&output));
    let path = format!("[only] {}/", desk.work.path().display());
    assert!(String::from_utf8_lossy(&output.stdout).contains(&path), "{}", said(&output));
    desk.assert_clean();
}
