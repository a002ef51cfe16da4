//! The destination folder: what is on disk and who may see it.
//!
//! ```text
//!  <dest>/.osmo-partial/<run>-<n>   created, filled, invisible to the user
//!        │ rename (Tree::folder opens every component with O_NOFOLLOW)
//!        ▼
//!  <dest>/a/b/c                     visible: complete and checked
//!        │ group commit
//!        ▼
//!                                   durable: survives a power loss
//! ```
//!
//! *Visible* and *durable* are two things. Visible is one rename per file.
//! Durable is one commit per group of files, and today the group is the job:
//! a single `syncfs(2)` before the job reports success, instead of a sync per
//! file. A journal that records groups while the job runs, so that a killed
//! job resumes within an object, has its place in [`PartialFolder`]; until
//! then an unfinished object starts anew.
//!
//! Invariants: a name in the destination is only ever made by a rename of a
//! complete file; no symbolic link inside the destination is followed; a
//! partial file is unlinked by its drop, so that neither an error nor a
//! cancellation leaves one behind; leftovers of a killed process are removed
//! by the next job that finds nobody else at work.

mod group;
mod partial;
mod tree;

pub use group::commit;
pub use partial::{PartialFile, PartialFolder, PartialNames};
pub use tree::Tree;

use std::ffi::CString;
use std::io;

use rustix::io::Errno;

use crate::error::{Error, ErrorKind};

/// What a failed system call on `subject` means to the user.
pub fn fault(doing: &str, subject: &str, error: io::Error) -> Error {
    let errno = Errno::from_io_error(&error);
    let (kind, remedy) = match errno {
        Some(Errno::NOSPC | Errno::DQUOT) => {
            (ErrorKind::DiskFull, "; free space there or choose another destination")
        }
        Some(Errno::ROFS | Errno::ACCESS | Errno::PERM) => {
            (ErrorKind::Local, "; choose a place that this user may use")
        }
        Some(Errno::NOENT) => (ErrorKind::NotFound, ""),
        _ => (ErrorKind::Local, ""),
    };
    Error::new(kind, format!("cannot {doing} {subject}{remedy}")).because(error)
}

/// `path` as system calls take it.
pub fn c_path(path: &str) -> crate::Result<CString> {
    CString::new(path).map_err(|_| {
        Error::new(ErrorKind::KeyRefused, format!("the path {path:?} contains a NUL byte"))
    })
}
