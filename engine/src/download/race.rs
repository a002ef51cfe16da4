//! A wait that lasts too long is raced by a second request, on another
//! connection, for what is still missing: the first to answer wins, and the
//! other one is dropped.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use crate::flow::Beginning;
use crate::mem::Lease;
use crate::s3::{GetBody, GetRequest};
use crate::site::Site;

/// Buffers of a second request: one for its head, one for bytes.
const SPARE_BUFFERS: usize = 2;

/// Who was first.
pub(super) enum Won<T> {
    /// Who was asked first.
    First(T),
    /// The second request's answer, and the buffers that it needs.
    Second(Box<GetBody>, Lease),
}

enum Next<T> {
    First(T),
    Second(Result<Box<GetBody>, ()>),
    Nobody,
}

/// `first`'s output, unless it stalls and `request`, which asks for the `missing`
/// bytes that it is to bring, is answered before.
pub(super) async fn race<T>(
    site: &Site,
    first: impl Future<Output = T>,
    request: impl Fn() -> Option<GetRequest>,
    missing: u64,
) -> Won<T> {
    let (hedges, ring) = (&site.hedges, &site.ring);
    let mut first = pin!(first);
    let (began, patience) = (hedges.beginning(), hedges.patience());
    if let Some(output) = ring.within(patience, first.as_mut()).await {
        hedges.calm();
        return Won::First(output);
    }
    let _stalled = hedges.stalled();
    loop {
        if let Some((request, spare)) = second(site, &request, (missing, began)) {
            match both(site, patience, first.as_mut(), &request, &spare).await {
                Next::First(output) => {
                    hedges.lost();
                    return Won::First(output);
                }
                Next::Second(Ok(body)) => {
                    hedges.won(missing);
                    site.tally.hedged();
                    return Won::Second(body, spare);
                }
                // It proves nothing; whoever was asked first may still answer.
                Next::Second(Err(())) | Next::Nobody => {}
            }
        }
        if let Some(output) = ring.within(patience, first.as_mut()).await {
            hedges.lost();
            return Won::First(output);
        }
    }
}

/// The second request, where there are buffers and traffic for it.
fn second(
    site: &Site,
    request: impl Fn() -> Option<GetRequest>,
    (missing, began): (u64, Beginning),
) -> Option<(GetRequest, Lease)> {
    let request = request()?;
    let spare = site.pool.lease_now(SPARE_BUFFERS)?;
    site.hedges.begins(missing, began).then_some((request, spare))
}

async fn both<T>(
    site: &Site,
    patience: Duration,
    mut first: Pin<&mut impl Future<Output = T>>,
    request: &GetRequest,
    spare: &Lease,
) -> Next<T> {
    let Some(scratch) = spare.take() else { return Next::Nobody };
    let mut second = pin!(site.store.get(request, scratch));
    let either = poll_fn(|cx| {
        if let Poll::Ready(output) = first.as_mut().poll(cx) {
            return Poll::Ready(Next::First(output));
        }
        second.as_mut().poll(cx).map(|answer| Next::Second(answer.map(Box::new).map_err(drop)))
    });
    site.ring.within(patience, either).await.unwrap_or(Next::Nobody)
}
