//! Half-open byte ranges `[start, end)`; only [`Range::header`] prints the
//! inclusive pair that HTTP wants (RFC 9110 §14.1.2).

/// Bytes `start..end` of an object or file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl Range {
    /// `start..end`; `None` when it would be reversed.
    pub fn new(start: u64, end: u64) -> Option<Self> {
        (start <= end).then_some(Self { start, end })
    }

    /// Length in bytes.
    pub fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether no byte is in it.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The value of a `Range` request header: `bytes=0-99` for `[0, 100)`.
    /// `None` for an empty range, which HTTP cannot express.
    pub fn header(self) -> Option<String> {
        let last = self.end.checked_sub(1).filter(|last| *last >= self.start)?;
        Some(format!("bytes={}-{last}", self.start))
    }
}
