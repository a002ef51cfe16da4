//! What has to hold while an engine lives.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::disk::visible;
use crate::faults::Fault;
use crate::world::Simulation;

/// Requests of a life that were answered for good, and when.
pub(crate) type Finals = BTreeMap<Asked, Instant>;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) key: String,
    pub(crate) range: Option<String>,
    pub(crate) version: Option<String>,
}

impl Asked {
    /// A second request is for the rest of a part, and for all of it only while
    /// the first one is open.
    fn begins_a_part(&self, part_bytes: u64) -> bool {
        let Some(range) = &self.range else { return true };
        let start = range.trim_start_matches("bytes=").split('-').next();
        start
            .and_then(|start| start.parse().ok())
            .is_some_and(|start: u64| start.is_multiple_of(part_bytes))
    }
}

/// A request whose answer is under way.
pub(crate) struct Open(Rc<Simulation>, Asked);

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(count) = self.0.open.borrow_mut().get_mut(&self.1) {
            *count -= 1;
        }
    }
}

impl Simulation {
    /// A rule of the engine was broken.
    pub(crate) fn breaks(&self, rule: String) {
        self.broken_rules.borrow_mut().push(rule);
    }

    /// A request came: none that was answered for good comes again. It is open
    /// until the guard goes.
    pub(crate) fn asked(self: &Rc<Self>, asked: &Asked) -> Open {
        self.note(&asked.key, asked.range.as_ref().map_or(0, |range| range.len() as u64));
        // A second request may be on its way while the first one is answered.
        let known = self.finals.borrow().get(asked).copied();
        if known.is_some_and(|since| since.elapsed() > Duration::from_secs(1)) {
            self.breaks(format!("{asked:?} again, after a final answer"));
        }
        *self.open.borrow_mut().entry(asked.clone()).or_insert(0) += 1;
        Open(Rc::clone(self), asked.clone())
    }

    /// An answer is final, unless it may be lost on its way, or is one of two:
    /// what a second request is told proves nothing while the first one is open.
    pub(crate) fn is_final(&self, asked: &Asked) {
        let can_be_lost = self.faults.borrow().iter().any(|(fault, _)| *fault == Fault::Reset);
        let is_only_one = self.open.borrow().get(asked) == Some(&1);
        if is_only_one && asked.begins_a_part(self.part_bytes) && !can_be_lost {
            self.finals.borrow_mut().entry(asked.clone()).or_insert_with(Instant::now);
        }
    }

    /// Every visible file is one whole version of its object.
    pub(crate) fn look(&self, when: &str) {
        let store = self.store.borrow();
        for (path, bytes) in visible(&self.root).expect("read the tree") {
            let key = path.to_string_lossy();
            let stored = store.iter().find(|stored| stored.key.ends_with(&*key));
            let is_whole =
                stored.is_some_and(|s| s.versions.iter().any(|version| *version.bytes == *bytes));
            if is_whole {
                self.doubted.borrow_mut().remove(&path);
            } else if !self.doubted.borrow().contains(&path) {
                self.breaks(format!("{when}: {key} is no version of its object"));
            }
        }
    }

    /// Connections that the engine has not closed.
    pub(crate) fn left_open(&self) -> usize {
        let is_open = |far: &Rc<UnixStream>| loop {
            match (&**far).read(&mut [0; 4096]) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        };
        self.far_ends.borrow().iter().filter_map(Weak::upgrade).filter(is_open).count()
    }
}
