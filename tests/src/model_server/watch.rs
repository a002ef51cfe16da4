//! What was asked of a model, for tests that count.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// An answer with bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which connection, in the order in which they came.
    pub connection: u64,
    /// Which object.
    pub object: u64,
    /// Which of its bytes.
    pub range: Range<u64>,
}

/// Answers so far, in order.
#[derive(Debug, Default)]
pub struct Watch {
    asked: Mutex<Vec<Asked>>,
    bytes: AtomicU64,
}

impl Watch {
    pub(super) fn asked(&self, connection: u64, object: u64, range: Range<u64>) {
        let asked = Asked { connection, object, range };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that sockets took, but for the first 16 KiB of each answer.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The answers since it was looked at last.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
