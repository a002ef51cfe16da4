//! Uploads: the byte's walk from a file to a completed object.
//!
//! ```text
//!  walker thread    walk     sources → files, bounded queue
//!  control thread   plan     file → one request, or parts and an upload id
//!  ─────────────────────────────────────────────────────────────────────────
//!  shard thread     read     Part → Loaded      file bytes in leased buffers
//!                   seal     Loaded → Sealed    CRC64NVME, MD5, or later
//!                   send     Sealed → Sent      PUT, the answer reviewed
//!  ─────────────────────────────────────────────────────────────────────────
//!  control thread   publish  all Sent → completed, or aborted
//! ```
//!
//! A part that fits its buffers is read once and kept until it is sent. A
//! larger one is read once where its checksum may follow it; else twice, first
//! for the digest and then for the wire, the second time from the page cache,
//! and digested again so that a change in between is noticed. Which way an
//! endpoint takes is on [`crate::s3::checksum`]'s ladder; a part that is
//! refused goes one rung down, a multipart upload that is begins anew.
//!
//! It is not a sync: nothing is deleted in the store.
//!
//! Invariants: nothing is visible in the store before its last byte is there
//! and its checksum was sent along; a file that changes while it is read fails
//! with `Changed`; a file's failure stops no other file. Limits:
//! [`PARTS_MAX`], [`PART_BYTES`], [`LANES_MAX`].

mod claim;
mod content_type;
mod parts;
mod pick;
pub mod plan;
pub mod publish;
pub mod read;
mod review;
pub mod seal;
pub mod send;
pub mod walk;

use std::path::PathBuf;
use std::sync::Arc;

pub use content_type::content_type;
pub use parts::PartsDone;

use crate::digest::Checked;
use crate::error::{ErrorKind, Result};
use crate::flow::SharedPace;
use crate::job::{IfExists, Ledger};
use crate::s3::{Contact, Rung};
use crate::site::Site;
use walk::Stamp;

/// Files above this size go up in parts of it.
pub const PART_BYTES: u64 = 16 << 20;

/// Parts that S3 allows.
pub const PARTS_MAX: u32 = 10_000;

/// Parts of one file in flight.
pub const LANES_MAX: u32 = 8;

/// What every shard is told of an upload.
pub struct Brief {
    /// Whom to tell, and how.
    pub contact: Contact,
    /// What happens to an object that is already there.
    pub if_exists: IfExists,
    /// Whether a file fails whose arrival no checksum confirms.
    pub require_verified: bool,
    /// Real folders, one of which every file must lie in; any will do without.
    pub within: Vec<PathBuf>,
    /// Bytes a second, where the job has a limit.
    pub pace: Option<Arc<SharedPace>>,
    /// Who is told of each file that is in the store.
    pub ledger: Option<Arc<dyn Ledger>>,
}

/// One file to upload.
#[derive(Clone, Debug)]
pub struct FileOrder {
    /// The bucket.
    pub bucket: Arc<str>,
    /// The whole key.
    pub key: Arc<str>,
    /// What the file is called in reports.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it looked like when it was found.
    pub stamp: Stamp,
}

impl FileOrder {
    /// Tells `ledger` that the store has the file.
    pub fn tell(&self, ledger: Option<&dyn Ledger>) {
        if let Some(ledger) = ledger {
            ledger.sent(&self.stamp.at(&self.path));
        }
    }
}

/// Whether an upload that ended so counts as one.
///
/// # Errors
/// `Unverified` where it is `required` that a checksum confirms it.
pub fn arrived(checked: Checked, required: bool) -> Result<()> {
    if required {
        checked.required()?;
    }
    Ok(())
}

/// A file to upload in parts.
pub struct PartsOrder {
    /// The file.
    pub file: FileOrder,
    /// The multipart upload's id.
    pub upload: Arc<str>,
    /// How the store was told that parts are checked.
    pub rung: Rung,
    /// Receives the acknowledged parts.
    pub reply: tokio::sync::oneshot::Sender<Result<PartsDone>>,
}

/// One upload's side of a shard.
pub struct Uploads {
    site: Site,
    door: read::Door,
    if_exists: IfExists,
    require_verified: bool,
    ledger: Option<Arc<dyn Ledger>>,
}

impl Uploads {
    /// This shard joins a job.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn join(site: Site, brief: &Brief) -> Result<Self> {
        let door = read::Door::new(&brief.within)?;
        let Brief { if_exists, require_verified, .. } = *brief;
        Ok(Self { site, door, if_exists, require_verified, ledger: brief.ledger.clone() })
    }

    /// Moves one file in one request and counts how it ended.
    pub async fn file(&self, order: &FileOrder) {
        if let Err(error) = self.site.tally.worth_it() {
            return self.site.tally.failed(&order.name, &error);
        }
        match self.whole(order).await {
            Ok(confirmed) => {
                let checked = Checked::confirmed(confirmed);
                match arrived(checked, self.require_verified) {
                    Ok(()) => self.site.tally.done(order.stamp.bytes, checked.verdict()),
                    Err(error) => return self.site.tally.failed(&order.name, &error),
                }
                order.tell(self.ledger.as_deref());
            }
            Err(error) if error.kind() == ErrorKind::Exists && self.if_exists == IfExists::Skip => {
                self.site.tally.skipped(order.stamp.bytes);
            }
            Err(error) => self.site.gave_up(&order.name, &error),
        }
    }
}
