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
//! Durable is one commit per group of files: what came within some seconds, and
//! at the end the rest, by a `syncfs(2)` each, instead of a sync per file. The
//! [`journal`] records what is there, so that the same job goes on where a
//! killed one stopped.
//!
//! Invariants: a name in the destination is only ever made by a rename of a
//! complete file; no symbolic link inside the destination is followed; a
//! partial file is unlinked by its drop, unless the journal knows parts of it;
//! leftovers of a killed process that no journal knows are removed by the next
//! job that finds nobody else at work.

mod group;
pub mod journal;
mod partial;
mod tree;

pub use group::commit;
pub use partial::{PartialFile, PartialFolder, PartialNames, look, look_at};
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
