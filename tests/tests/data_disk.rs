//! A disk that fails under a download: ext4 on a loop device, whose backing file
//! loses its end. Writes fail, and the file system becomes read-only by itself.
//! Needs root, `mkfs.ext4` and a loop device.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use osmo_tests::interpose::{Fault, Harm, Hold, Interposer};
use osmo_tests::program::Programs;
use osmo_tests::store::TestStore;
use osmo_tests::{tree, under_both_drivers};

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

under_both_drivers!(
    #[ignore = "needs root and a loop device; see CONTRIBUTING.md"]
    a_disk_that_fails_is_named,
);

const LARGE_BYTES: u64 = 100 << 20;
const SECOND: &str = "bytes=8388608-16777215";

/// A small disk, mounted.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.run(
            "truncate -s 400M image && mkfs.ext4 -q -F image && mkdir disk \
             && losetup -f --show image > device \
             && mount -o errors=remount-ro $(cat device) disk && mkdir disk/to",
        );
        disk
    }

    /// Everything above 40 MiB is gone.
    fn fail(&self) {
        self.run("truncate -s 40M image && losetup -c $(cat device)");
    }

    fn run(&self, script: &str) {
        let status = Command::new("sh").args(["-c", script]).current_dir(self.0.path()).status();
        assert!(status.unwrap().success(), "{script}");
    }

    fn to(&self) -> std::path::PathBuf {
        self.0.path().join("disk/to")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let script = "umount disk; losetup -d $(cat device)";
        let _ = Command::new("sh").args(["-c", script]).current_dir(self.0.path()).status();
    }
}

fn a_disk_that_fails_is_named(driver: &str) {
    let source = tempfile::tempdir().unwrap();
    tree::random_file(&source.path().join("large"), LARGE_BYTES, 1).unwrap();
    let store = TestStore::start("bkt").unwrap();
    store.put_tree("bkt", "p/", source.path()).unwrap();
    let hold = Hold::default();
    let proxy = Interposer::start(store.access(), {
        let hold = hold.clone();
        move |request| match request.range.as_deref() {
            Some(SECOND) => Fault::Down(1_000_000, Harm::Hold(hold.clone())),
            _ => Fault::None,
        }
    })
    .unwrap();
    let disk = Disk::new();
    let start = |to: &Path| {
        let args: [&OsStr; 3] = ["download".as_ref(), "s3://bkt/p/".as_ref(), to.as_os_str()];
        let mut command = PROGRAMS.data(proxy.access(), driver, &args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };

    let child = start(&disk.to());
    hold.reached();
    disk.fail();
    hold.release();
    let first = child.wait_with_output().unwrap();
    let again = start(&disk.to()).wait_with_output().unwrap();

    for output in [first, again] {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("cannot ") && !said.contains("panicked"), "{said}");
    }
}
