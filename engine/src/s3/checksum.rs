//! How an endpoint can be made to check what is sent to it: a ladder, its
//! best rung first.
//!
//! ```text
//!  Trailer     CRC64NVME after the bytes (aws-chunked): a file is read once
//!     │        not confirmed in the answer, or refused
//!  Header      CRC64NVME before the bytes
//!     │        refused, by a word about checksums
//!  ContentMd5  MD5 before the bytes
//!     │        refused, by a word about Content-MD5
//!  None        the store checks nothing, and the job says so
//! ```
//!
//! The trailer is where an endpoint starts only if it is AWS itself over TLS:
//! a store that knows no `aws-chunked` may keep the framing as content. Others
//! start with the header.
//!
//! A step down is an attempt at first. It is remembered for the endpoint, by
//! every shard and for the engine's life, once the store has taken bytes that
//! way, so that a refusal for another reason never weakens what follows.
//! Remembered are [`ENDPOINTS_MAX`] endpoints.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::config::ChecksumChoice;
use crate::error::{Error, ErrorKind, Result};

/// Endpoints that are remembered; the oldest makes room.
pub const ENDPOINTS_MAX: usize = 32;

/// One way to check what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// CRC64NVME behind the bytes.
    Trailer,
    /// CRC64NVME in the head.
    Header,
    /// MD5 in the head.
    ContentMd5,
    /// Nothing.
    None,
}

impl Rung {
    const ALL: [Self; 4] = [Self::Trailer, Self::Header, Self::ContentMd5, Self::None];

    /// Whether the store is told CRC64NVMEs, also of a multipart upload.
    pub fn is_crc(self) -> bool {
        self <= Self::Header
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trailer => "a CRC64NVME trailer",
            Self::Header => "a CRC64NVME header",
            Self::ContentMd5 => "Content-MD5",
            Self::None => "nothing",
        })
    }
}

/// What goes along with a body, for the store to check it against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// CRC64NVME follows the body, see [`crate::s3::Put::trail`].
    Trailer,
    /// CRC64NVME, base64.
    Header(String),
    /// MD5, base64.
    ContentMd5(String),
    /// Nothing.
    None,
}

impl Proof {
    pub(super) fn rung(&self) -> Rung {
        match self {
            Self::Trailer => Rung::Trailer,
            Self::Header(_) => Rung::Header,
            Self::ContentMd5(_) => Rung::ContentMd5,
            Self::None => Rung::None,
        }
    }
}

/// Where one endpoint stands on the ladder; shared by all who send to it.
#[derive(Debug)]
pub struct Checks {
    fixed: bool,
    rung: AtomicU8,
}

impl Default for Checks {
    fn default() -> Self {
        Self::new(ChecksumChoice::Auto, false)
    }
}

impl Checks {
    /// An endpoint that has not been asked yet; `trailers` says that it is
    /// known to take them.
    pub fn new(choice: ChecksumChoice, trailers: bool) -> Self {
        let rung = match choice {
            ChecksumChoice::Auto if trailers => Rung::Trailer,
            ChecksumChoice::Auto | ChecksumChoice::Header => Rung::Header,
            ChecksumChoice::Trailer => Rung::Trailer,
            ChecksumChoice::ContentMd5 => Rung::ContentMd5,
            ChecksumChoice::None => Rung::None,
        };
        Self { fixed: choice != ChecksumChoice::Auto, rung: AtomicU8::new(rung as u8) }
    }

    /// Where to start.
    pub fn rung(&self) -> Rung {
        Rung::ALL[usize::from(self.rung.load(Ordering::Relaxed)).min(Rung::ALL.len() - 1)]
    }

    /// What to try after `refused`. A choice of the user's is not weakened;
    /// the header proves as much as the trailer.
    ///
    /// # Errors
    /// The refusal, when there is nothing else to try.
    pub fn below(&self, refused: Rung, error: Error) -> Result<Rung> {
        let next = match refused {
            Rung::Trailer => Rung::Header,
            Rung::Header if !self.fixed => Rung::ContentMd5,
            Rung::ContentMd5 if !self.fixed => Rung::None,
            Rung::Header | Rung::ContentMd5 | Rung::None => {
                let sentence = format!(
                    "the store refuses uploads that are checked by {refused}: choose another \
                     --upload-checksum, or auto"
                );
                return Err(Error::new(ErrorKind::Unsupported, sentence).because(error));
            }
        };
        Ok(next.max(self.rung()))
    }

    /// The store took bytes that were checked by `rung`; whether that is news.
    pub fn settle(&self, rung: Rung) -> bool {
        self.rung.fetch_max(rung as u8, Ordering::Relaxed) < rung as u8
    }
}

thread_local! {
    static REMEMBERED: RefCell<Vec<(String, ChecksumChoice, Arc<Checks>)>> =
        const { RefCell::new(Vec::new()) };
}

/// What the calling thread, an engine's control thread, knows of the endpoint
/// at `url`.
pub(super) fn remembered(url: &str, choice: ChecksumChoice, trailers: bool) -> Arc<Checks> {
    REMEMBERED.with_borrow_mut(|known| {
        let found = known.iter().find(|(name, asked, _)| name == url && *asked == choice);
        if let Some((.., checks)) = found {
            return Arc::clone(checks);
        }
        if known.len() == ENDPOINTS_MAX {
            known.remove(0);
        }
        let checks = Arc::new(Checks::new(choice, trailers));
        known.push((url.to_owned(), choice, Arc::clone(&checks)));
        checks
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refusal() -> Error {
        Error::new(ErrorKind::Unsupported, "no")
    }

    #[test]
    fn the_ladder_goes_down_and_never_up() {
        let checks = Checks::new(ChecksumChoice::Auto, true);
        let mut seen = vec![checks.rung()];
        while let Ok(next) = checks.below(*seen.last().unwrap(), refusal()) {
            seen.push(next);
        }
        assert_eq!(seen, Rung::ALL);
        assert_eq!(checks.rung(), Rung::Trailer, "an attempt is no knowledge");
        assert!(checks.settle(Rung::ContentMd5) && !checks.settle(Rung::ContentMd5));
        assert!(!checks.settle(Rung::Header));
        assert_eq!(checks.rung(), Rung::ContentMd5);
        assert_eq!(checks.below(Rung::Trailer, refusal()).unwrap(), Rung::ContentMd5);
        assert_eq!(Checks::new(ChecksumChoice::Auto, false).rung(), Rung::Header);
    }

    #[test]
    fn a_choice_is_not_weakened() {
        let below = |choice, rung| Checks::new(choice, false).below(rung, refusal());
        assert_eq!(below(ChecksumChoice::Trailer, Rung::Trailer).unwrap(), Rung::Header);
        for (choice, rung) in [
            (ChecksumChoice::Trailer, Rung::Header),
            (ChecksumChoice::Header, Rung::Header),
            (ChecksumChoice::ContentMd5, Rung::ContentMd5),
            (ChecksumChoice::None, Rung::None),
        ] {
            let error = below(choice, rung).unwrap_err();
            assert!(error.to_string().contains("--upload-checksum"), "{error}");
        }
    }

    #[test]
    fn endpoints_are_remembered_up_to_a_limit() {
        let known = |url: &str| remembered(url, ChecksumChoice::Auto, false);
        known("http://first").settle(Rung::None);
        assert_eq!(known("http://first").rung(), Rung::None);
        assert_eq!(remembered("http://first", ChecksumChoice::Header, false).rung(), Rung::Header);
        for number in 0..ENDPOINTS_MAX {
            known(&format!("http://other-{number}"));
        }
        assert_eq!(known("http://first").rung(), Rung::Header);
    }
}
