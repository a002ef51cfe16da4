//! The kinds of job, on the control thread: open the store, plan, send orders,
//! wait for their end.
//!
//! Each task ends by itself once its orders have; a cancellation stops the
//! planning at once and the orders through the shards. Nothing here holds more
//! than a few pages of names.

mod check;
mod commits;
mod delete;
mod download;
mod list;
mod upload;

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinError;

use crate::config::Access;
use crate::desk::{Desk, cancelled};
use crate::engine::order::Orders;
use crate::error::{Error, ErrorKind, Result};
use crate::job::StoreOptions;
use crate::s3::{self, Contact};
use crate::tally::Tally;
use crate::uri::Uri;
use crate::waits::Waits;

pub(super) use check::check;
pub(super) use delete::delete;
pub(super) use download::download;
pub(super) use list::list;
pub(super) use upload::upload;

/// What the engine was started with.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) access: &'a Access,
    pub(super) waits: &'a Waits,
    #[cfg(feature = "sim")]
    pub(super) opened: Option<&'a s3::Opened>,
}

impl Given<'_> {
    /// Opens the store of `uri`, with `access` in place of the engine's own.
    async fn open(
        &self,
        access: Option<&Access>,
        uri: &Uri,
        options: &StoreOptions,
        (tally, cancel): (&Arc<Tally>, &Notify),
    ) -> Result<(Desk, Contact)> {
        let access = access.unwrap_or(self.access);
        let open = s3::open(access, uri, options, &self.waits.patience);
        let open = async {
            #[cfg(feature = "sim")]
            if let Some(opened) = self.opened {
                return Ok(opened.clone());
            }
            open.await
        };
        let opened = unless(cancel, tally, open).await?;
        let bucket = uri.bucket().into();
        let desk = Desk::new(opened.control, bucket, Arc::clone(tally), self.waits);
        Ok((desk, opened.contact))
    }
}

/// `work`, unless the job is cancelled first.
async fn unless<T>(
    cancel: &Notify,
    tally: &Tally,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    if tally.cancelled() {
        return Err(cancelled());
    }
    tokio::select! {
        biased;
        () = cancel.notified() => Err(cancelled()),
        ended = work => ended,
    }
}

/// Waits for the orders that are under way, or stops them. No order may be
/// sent after it: a shard would remember the job for ever.
async fn settle(orders: &Orders, cancel: &Notify) {
    attend(orders, cancel, orders.retire()).await;
}

/// `work`, which ends by itself once the shards have stopped; a cancellation
/// makes them.
async fn attend(orders: &Orders, cancel: &Notify, work: impl Future<Output = ()>) {
    let mut work = std::pin::pin!(work);
    if orders.tally().cancelled() {
        orders.stop();
    }
    loop {
        tokio::select! {
            biased;
            () = &mut work => return,
            () = cancel.notified() => orders.stop(),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    #[cfg(feature = "sim")]
    let work = match crate::sim::blocking(work).await {
        Ok(ended) => return ended,
        Err(work) => work,
    };
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(panicked(error)))
}

fn panicked(error: JoinError) -> Error {
    Error::new(ErrorKind::Internal, "a blocking step panicked").because(error)
}
