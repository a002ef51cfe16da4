//! Body framing: by length, chunked, or until the connection closes.

use super::chunked::Chunked;

/// Why a body cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The connection ended inside the body.
    #[error("the connection ended {} before the answer did", Left(*.0))]
    Truncated(Option<u64>),
    /// A chunk header that is no size, or too long.
    #[error("the answer's chunked coding is malformed")]
    ChunkInvalid,
}

struct Left(Option<u64>);

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "{bytes} bytes"),
            None => f.write_str("some bytes"),
        }
    }
}

/// Where a body's reader stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes are left.
    Length {
        /// Bytes that have not been read.
        left: u64,
    },
    /// Chunked coding.
    Chunked(Chunked),
    /// All that comes until the connection ends.
    UntilClose,
}

impl Body {
    /// A body of exactly `bytes`.
    pub fn length(bytes: u64) -> Self {
        Self::Length { left: bytes }
    }

    /// A chunked body at its beginning.
    pub fn chunked() -> Self {
        Self::Chunked(Chunked::default())
    }

    /// Whether every byte has been read.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Length { left } => *left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
            Self::UntilClose => false,
        }
    }

    /// The most bytes that are still to be received; `None` where only the
    /// coding will tell.
    pub fn receivable(&self) -> Option<u64> {
        match self {
            Self::Length { left } => Some(*left),
            Self::UntilClose | Self::Chunked(_) => None,
        }
    }

    /// Decodes bytes that just arrived, in place; answers how many of them
    /// were used and how many bytes of content now stand at the beginning.
    /// Unused bytes are beyond the end of the body.
    ///
    /// # Errors
    /// The chunked coding is malformed.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<(usize, usize), BodyFault> {
        match self {
            Self::Chunked(chunked) => chunked.decode(bytes),
            Self::UntilClose => Ok((bytes.len(), bytes.len())),
            Self::Length { left } => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                Ok((taken, taken))
            }
        }
    }

    /// What the end of the stream means here.
    ///
    /// # Errors
    /// The body is not complete.
    pub fn ended(&self) -> Result<(), BodyFault> {
        match self {
            Self::UntilClose => Ok(()),
            body if body.is_done() => Ok(()),
            Self::Length { left } => Err(BodyFault::Truncated(Some(*left))),
            Self::Chunked(_) => Err(BodyFault::Truncated(None)),
        }
    }
}
