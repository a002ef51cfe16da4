//! What a stage on a shard works with: the ring, buffers, a place in the
//! window, the store, and the one way to try again.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::clock::Chance;
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::flow::{Gate, Hedges, Retry, SharedPace, given_up};
use crate::mem::{Buffer, Lease, Pool};
use crate::ring::Ring;
use crate::s3::Store;
use crate::tally::Tally;
use crate::waits::RetryPolicy;

/// Buffers of one part besides the one for heads. Eight of them make one
/// vectored write of half a MiB, where writes get cheap, while the hot set of
/// a part stays well inside a core's second-level cache.
pub const PART_BUFFERS: usize = 8;

/// One job's side of a shard. Not `Send`.
#[derive(Clone)]
pub struct Site {
    /// The driver and executor.
    pub ring: Ring,
    /// The buffers.
    pub pool: Pool,
    /// The window over parts in flight.
    pub gate: Gate,
    /// Jitter.
    pub chance: Rc<RefCell<Chance>>,
    /// Second requests for what stalls.
    pub hedges: Hedges,
    /// The retry policy.
    pub policy: RetryPolicy,
    /// Bytes a second, where the job has a limit.
    pub pace: Option<Arc<SharedPace>>,
    /// The store.
    pub store: Store,
    /// The job's counters.
    pub tally: Arc<Tally>,
}

impl Site {
    /// The right to the buffers that `bytes` bytes in flight need: one for
    /// heads, one to [`PART_BUFFERS`] for the body.
    pub async fn lease(&self, bytes: u64) -> Lease {
        let buffer_bytes = self.pool.buffer_bytes() as u64;
        let wanted = bytes.div_ceil(buffer_bytes.max(1)).clamp(1, PART_BUFFERS as u64);
        let wanted = usize::try_from(wanted).unwrap_or(PART_BUFFERS);
        self.pool.lease(1 + wanted).await
    }

    /// Counts an object that was given up.
    pub fn gave_up(&self, name: &str, error: &Error) {
        self.tally.gave_up(name, error, self.ring.now(), &self.policy);
    }

    /// Waits until `bytes` of a body may move.
    pub async fn paced(&self, bytes: u64) {
        if let Some(pace) = &self.pace {
            let at = pace.take(bytes, self.ring.now());
            if at > self.ring.now() {
                self.ring.sleep_until(at).await;
            }
        }
    }

    /// Waits until `error` may be answered by another attempt.
    ///
    /// # Errors
    /// The same error, when there is to be none.
    pub async fn again(
        &self,
        key: &str,
        retry: &mut Retry,
        progressed: bool,
        error: Error,
    ) -> Result<()> {
        if error.class() == RetryClass::Throttle {
            self.gate.throttled(self.ring.now());
        }
        if error.class() == RetryClass::Auth && !self.store.fresh().await {
            return Err(given_up(retry.failed() + 1, error));
        }
        let wait = retry.after(error.class(), progressed, &mut self.chance.borrow_mut());
        let Some(wait) = wait else { return Err(given_up(retry.failed(), error)) };
        self.tally.retried(key, retry.failed(), wait, &error);
        self.ring.sleep_until(self.ring.now() + wait).await;
        Ok(())
    }
}

/// The next buffer of a lease. None is left only while the kernel still holds
/// those of an attempt that was given up, so another attempt helps.
///
/// # Errors
/// All are out.
pub fn buffer(lease: &Lease) -> Result<Buffer> {
    lease.take().ok_or_else(|| {
        Error::new(ErrorKind::Internal, "buffers of an earlier attempt are still in flight")
            .in_class(RetryClass::Retry)
    })
}
