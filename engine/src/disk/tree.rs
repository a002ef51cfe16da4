//! Folders of the destination, reached without following a symbolic link.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::disk::{c_path, fault};
use crate::error::{Error, ErrorKind, Result};
use crate::ring::{Fd, Ring};

/// Folders kept open: listings are sorted, so the last few serve nearly all.
const RECENT_MAX: usize = 16;

/// The destination and its folders.
pub struct Tree {
    ring: Ring,
    root: Fd,
    recent: RefCell<VecDeque<(String, Fd)>>,
}

impl Tree {
    /// The tree below the open folder `root`.
    pub fn new(ring: Ring, root: Fd) -> Self {
        Self { ring, root, recent: RefCell::default() }
    }

    /// The folder `path` below the root, created where it is missing; "" is
    /// the root.
    ///
    /// # Errors
    /// `KeyRefused` where a file or a symbolic link is in the way.
    pub async fn folder(&self, path: &str) -> Result<Fd> {
        if path.is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some((_, fd)) = self.recent.borrow().iter().find(|(known, _)| known == path) {
            return Ok(Rc::clone(fd));
        }
        let mut at = Rc::clone(&self.root);
        for component in path.split('/') {
            at = self.step(&at, component, path).await?;
        }
        let mut recent = self.recent.borrow_mut();
        if recent.len() >= RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back((path.to_owned(), Rc::clone(&at)));
        Ok(at)
    }

    async fn step(&self, at: &Fd, component: &str, path: &str) -> Result<Fd> {
        let name = c_path(component)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY;
        match self.ring.open_at(at, &name, flags, Mode::empty()).await {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => {}
            other => return other.map_err(|error| in_the_way(component, path, error)),
        }
        match self.ring.mkdir_at(at, &name, Mode::from_raw_mode(0o755)).await {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(fault("create the folder", path, error));
            }
            _ => {}
        }
        let opened = self.ring.open_at(at, &name, flags, Mode::empty()).await;
        opened.map_err(|error| in_the_way(component, path, error))
    }
}

/// A component that is no folder: a file, or a symbolic link to wherever.
fn in_the_way(component: &str, path: &str, error: io::Error) -> Error {
    match Errno::from_io_error(&error) {
        Some(Errno::NOTDIR | Errno::LOOP) => Error::new(
            ErrorKind::KeyRefused,
            format!(
                "the key needs the folder {path}, but \"{component}\" is a file or a symbolic \
                 link there; remove it or rename the key"
            ),
        ),
        _ => fault("open the folder", path, error),
    }
}
