//! Downloads: the byte's walk from a store to a visible file.
//!
//! ```text
//!  control thread   plan     listing page → Object           (order per object)
//!  ─────────────────────────────────────────────────────────────────────────
//!  shard thread     object   Object → Parts, some lanes at a time
//!                   fetch    Part → Fetched      GET into leased buffers
//!                   verify   Fetched → Verified  digested, counted, in order
//!                   write    Verified → Written  at its offset in the partial
//!                   publish  all Written + Proof → renamed, visible
//! ```
//!
//! *Verified* of a slice means that it has been digested and accounted for at
//! its place; a store declares checksums for whole objects, so the comparison
//! yields a [`verify::Proof`], and `publish` takes nothing less. Hence a byte
//! may reach the partial file before its object is proven, but never a name
//! that the user sees.
//!
//! What is written is recorded (`landing`, [`crate::disk::journal`]), so that
//! the same job goes on where a killed one stopped, at the level of a part.
//!
//! It is not a sync: nothing is deleted, and modes and times are not kept.
//!
//! Invariants: every request names the entity tag that was planned
//! (`If-Match`), so no file mixes two versions; a failed attempt resumes at
//! the byte it had reached; what an object costs in memory does not grow with
//! its size. Limits: [`PART_BYTES`], [`LANES_MAX`].

pub mod fetch;
mod landing;
mod object;
pub mod plan;
pub mod publish;
mod race;
mod recorded;
mod renew;
mod resume;
mod table;
pub mod verify;
pub mod write;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use crate::digest::Checked;
use crate::disk::journal::Journal;
use crate::disk::{PartialFolder, PartialNames, Tree, fault};
use crate::error::Result;
use crate::flow::SharedPace;
use crate::job::{IfExists, OnChange};
use crate::object::Object;
use crate::s3::Contact;
use crate::site::Site;

/// Bytes of a part. Long enough that a request's latency hardly shows, short
/// enough that the last part of an object does not leave the others waiting.
pub const PART_BYTES: u64 = 8 << 20;

/// Parts of one object in flight.
pub const LANES_MAX: u32 = 16;

/// What every shard is told of a download.
pub struct Brief {
    /// Whom to ask, and how.
    pub contact: Contact,
    /// The destination.
    pub folder: PartialFolder,
    /// What this job has done so far, where that is recorded.
    pub journal: Option<Arc<Journal>>,
    /// Whether equal files are left alone.
    pub resume: bool,
    /// What happens to a file that is already there.
    pub if_exists: IfExists,
    /// What happens to an object that changes meanwhile.
    pub on_change: OnChange,
    /// Whether what cannot be verified fails.
    pub require_verified: bool,
    /// Bytes a second, where the job has a limit.
    pub pace: Option<Arc<SharedPace>>,
}

/// How an object ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landed {
    /// Visible, and compared with that.
    Published(Checked),
    /// It was there already.
    Skipped,
}

/// One download's side of a shard.
pub struct Downloads {
    site: Site,
    tree: Tree,
    names: PartialNames,
    journal: Option<Arc<Journal>>,
    resume: bool,
    if_exists: IfExists,
    on_change: OnChange,
    require_verified: bool,
    /// An entity tag that looked like an MD5 was none: the others are believed no
    /// more.
    tags_lie: Cell<bool>,
}

impl Downloads {
    /// Shard number `shard` joins the job of `brief`.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn join(site: Site, brief: &Brief, shard: usize) -> Result<Self> {
        let root = brief.folder.dest().try_clone();
        let root = root.map_err(|error| {
            fault("open the destination", &brief.folder.dest_path().display().to_string(), error)
        })?;
        let names = brief.folder.names(shard)?;
        let tree = Tree::new(site.ring.clone(), Rc::new(root));
        Ok(Self {
            site,
            tree,
            names,
            journal: brief.journal.clone(),
            resume: brief.resume,
            if_exists: brief.if_exists,
            on_change: brief.on_change,
            require_verified: brief.require_verified,
            tags_lie: Cell::new(false),
        })
    }

    /// Moves one object and counts how it ended.
    pub async fn run(&self, object: &Object) {
        if let Err(error) = self.site.tally.worth_it() {
            return self.site.tally.failed(&object.key, &error);
        }
        match self.object(object).await {
            Ok(Landed::Published(checked)) => self.site.tally.done(object.bytes, checked.verdict()),
            Ok(Landed::Skipped) => self.site.tally.skipped(object.bytes),
            Err(error) => self.site.gave_up(&object.key, &error),
        }
    }
}
