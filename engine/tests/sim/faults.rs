//! The faults, and which are fair: a fault is fair where the engine promises
//! to notice it. The kind is what a file that fails of it may be told.

use osmo_engine::ErrorKind;

use crate::store::{Declares, Stored};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Connect: nobody listens.
    Refused,
    /// Receive and send: the connection is reset.
    Reset,
    /// The answer stops, and the connection stays open.
    Silence,
    /// The answer ends too early.
    Truncated,
    /// 500 InternalError.
    Failing,
    /// 503 SlowDown.
    Throttling,
    /// 400 ExpiredToken, until there are new keys.
    Expired,
    /// 404 NoSuchKey: final.
    Gone,
    /// A new version of the object replaces the old one.
    Changed,
    /// A bit of the body is another one.
    Flipped,
    /// A Content-Range that nobody asked for.
    WrongRange,
    /// ENOSPC of a write or a reservation.
    Full,
    /// EIO of an open, a write or a rename.
    Broken,
    /// EIO of a commit, after which nothing of it is durable.
    Unsynced,
}

impl Fault {
    pub(crate) const ALL: [Self; 14] = [
        Self::Refused,
        Self::Reset,
        Self::Silence,
        Self::Truncated,
        Self::Failing,
        Self::Throttling,
        Self::Expired,
        Self::Gone,
        Self::Changed,
        Self::Flipped,
        Self::WrongRange,
        Self::Full,
        Self::Broken,
        Self::Unsynced,
    ];

    /// What a server does instead of answering as it should.
    pub(crate) const OF_ANSWERS: [Self; 9] = [
        Self::Silence,
        Self::Truncated,
        Self::Failing,
        Self::Throttling,
        Self::Expired,
        Self::Gone,
        Self::Changed,
        Self::Flipped,
        Self::WrongRange,
    ];

    /// How a file or a job that fails of it may say so.
    pub(crate) fn kind(self) -> ErrorKind {
        match self {
            Self::Refused | Self::Reset | Self::Silence | Self::Truncated => ErrorKind::Unreachable,
            Self::Failing => ErrorKind::Store,
            Self::Throttling => ErrorKind::Throttled,
            Self::Expired => ErrorKind::Denied,
            Self::Gone => ErrorKind::NotFound,
            Self::Changed => ErrorKind::Changed,
            Self::Flipped => ErrorKind::Corrupt,
            Self::WrongRange => ErrorKind::Protocol,
            Self::Full => ErrorKind::DiskFull,
            Self::Broken | Self::Unsynced => ErrorKind::Local,
        }
    }

    /// Whether the engine can notice it on this object: nothing tells a flipped
    /// bit from the bytes of an object whose store declares nothing of it, nor
    /// where an entity tag is an MD5 of ranges in an order that they came not in;
    /// and the same flip twice is what the store has.
    pub(crate) fn is_fair(self, object: &Stored, part_bytes: u64) -> bool {
        match (self, object.declares) {
            (Self::Flipped, Declares::Nothing) => false,
            // The list of parts comes only with ranges, and may be another version's.
            (Self::Flipped, Declares::OfParts(_)) => {
                object.now().bytes.len() as u64 > part_bytes && object.versions.len() == 1
            }
            (Self::Flipped, Declares::Md5) => {
                let bytes = object.now().bytes.len() as u64;
                bytes <= part_bytes && !object.was_flipped.get()
            }
            (Self::Flipped, Declares::Crc64 | Declares::Crc32c) => !object.now().bytes.is_empty(),
            _ => true,
        }
    }
}
