#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use osmo_protocol::exit::ExitCode;
use tempfile::TempDir;

use super::{Memory, folder};
use crate::console::Console;
use crate::flags::Flags;
use crate::lifecycle::{Failure, Reached};
use crate::logs::Log;
use crate::service::outbox::Outbox;

fn flags(root: &TempDir) -> Flags {
    Flags {
        socket: root.path().join("data.sock"),
        workflow: "wf-1".into(),
        task: "t".into(),
        ..Flags::default()
    }
}

fn open(flags: &Flags) -> Memory {
    Memory::open(flags, &Log::new("t", Arc::new(Outbox::new(100)), Console::new(true)))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_next_sidecar_knows_what_this_one_did() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("handoff"), "secret").unwrap();
    let flags = flags(&root);
    let mut memory = open(&flags);
    assert!(!memory.is_resumed());
    let failure = Failure::new(ExitCode::Upload, "no room");
    memory.keep(Reached::Ended, Some(&failure), Some(3));
    drop(memory);
    // As the agent does.
    fs::remove_file(root.path().join("handoff")).unwrap();

    let folder = root.path().join("ctrl");
    assert_eq!((mode(&folder), mode(&folder.join("state.json"))), (0o700, 0o600));
    let again = open(&flags);
    assert!(again.is_resumed());
    assert_eq!((again.saved().reached, again.saved().command_code), (Reached::Ended, Some(3)));
    assert_eq!(again.saved().token.as_deref(), Some("secret"));
    assert_eq!(again.failure(), Some(failure));
    again.forget();
    assert!(!folder.exists(), "nothing is left of a task that ended");
}

#[test]
fn another_task_s_state_and_a_broken_one_begin_anew() {
    let root = TempDir::new().unwrap();
    let ours = flags(&root);
    open(&ours).keep(Reached::Started, None, None);
    for other in [
        Flags { retry_id: "1".into(), ..ours.clone() },
        Flags { workflow: "wf-2".into(), ..ours.clone() },
        Flags { task: "u".into(), ..ours.clone() },
    ] {
        assert_eq!(open(&other).saved().reached, Reached::Begin);
        open(&ours).keep(Reached::Started, None, None);
    }
    let state = root.path().join("ctrl/state.json");
    for broken in ["", "{", "[]", "{\"version\":1}", "\u{0}\u{0}"] {
        fs::write(&state, broken).unwrap();
        let memory = open(&ours);
        assert!(!memory.is_resumed() && memory.saved().reached == Reached::Begin, "{broken:?}");
    }
}

#[test]
fn a_folder_that_is_not_ours_alone_is_not_used() {
    let root = TempDir::new().unwrap();
    let flags = flags(&root);
    let place = root.path().join("ctrl");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    open(&flags).keep(Reached::Inputs, None, None);
    assert!(!place.join("state.json").exists(), "others could look");
    fs::remove_dir(&place).unwrap();
    let elsewhere = TempDir::new().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), &place).unwrap();
    open(&flags).keep(Reached::Inputs, None, None);
    assert!(!elsewhere.path().join("state.json").exists(), "a link leads elsewhere");
}

#[test]
fn a_state_that_cannot_be_written_is_none() {
    let root = TempDir::new().unwrap();
    let flags = flags(&root);
    let mut memory = open(&flags);
    let aside = root.path().join("ctrl/state.new");
    let elsewhere = root.path().join("elsewhere");
    fs::write(&elsewhere, "somebody's").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &aside).unwrap();
    memory.keep(Reached::Inputs, None, None);
    memory.keep(Reached::Started, None, None);
    assert!(!root.path().join("ctrl/state.json").exists(), "an old state would lie");
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "somebody's");
    assert_eq!(open(&flags).saved().reached, Reached::Begin);
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("state.json");
    folder::replace(&path, b"a long first text").unwrap();
    folder::replace(&path, b"short").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"short");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}
