//! One TCP connection out of several addresses, on whatever executor.
//!
//! It is: the order in which addresses are tried, and the race between them
//! (RFC 8305). It is not: names, nor anything that is said on the connection.
//!
//! ```text
//! addresses ─ order ─► v6 v4 v6 v4 … (each family in rotation, shunned last)
//!                        │  a start every 250 ms, or as soon as one fails
//!                        ▼
//!                      race ─► the first that stands; the others are dropped
//! ```
//!
//! Invariants: a connect that loses is dropped, which cancels it and closes
//! its socket; a family that is broken costs one stagger, and nothing while it
//! is shunned. Limits: [`TRIES_MAX`] addresses a race; [`SHUNNED_MAX`]
//! addresses are shunned, for a minute each.

mod order;
mod shunned;

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::error::NetError;
pub use order::{TRIES_MAX, order};
pub use shunned::{SHUNNED_MAX, Shunned};

/// Between the starts of two connects: RFC 8305's recommended value.
pub const STAGGER: Duration = Duration::from_millis(250);

/// A race that somebody won.
#[derive(Debug)]
pub struct Won<S> {
    /// The connection.
    pub stream: S,
    /// Its address.
    pub address: SocketAddr,
    /// Addresses that failed, or were started earlier and had not answered.
    pub slower: Vec<SocketAddr>,
}

/// Connects to one of a name's addresses, in their turn, and remembers which
/// ones did not answer.
///
/// # Errors
/// No address takes a connection.
pub async fn reach<S, C, T>(
    shunned: &Shunned,
    found: &[IpAddr],
    (port, turn): (u16, usize),
    connect: impl Fn(SocketAddr) -> C,
    sleep: impl Fn(Duration) -> T,
    now: impl Fn() -> Instant,
) -> Result<S, NetError>
where
    C: Future<Output = io::Result<S>>,
    T: Future<Output = ()>,
{
    let mut addresses = order(found, port, turn);
    shunned.last(&mut addresses, now());
    addresses.truncate(TRIES_MAX);
    match race(&addresses, connect, sleep).await {
        Ok(won) => {
            shunned.forgive(won.address, now());
            shunned.add(won.slower, now());
            Ok(won.stream)
        }
        Err(failed) => {
            shunned.add(failed.iter().map(|(address, _)| *address), now());
            Err(NetError::refused(failed))
        }
    }
}

/// Races `connect` over the addresses, which each bring their own time limit.
///
/// # Errors
/// All of them fail: each address with its fault, in the order they failed.
pub async fn race<S, C, T>(
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> C,
    sleep: impl Fn(Duration) -> T,
) -> Result<Won<S>, Vec<(SocketAddr, io::Error)>>
where
    C: Future<Output = io::Result<S>>,
    T: Future<Output = ()>,
{
    let mut left = addresses.iter().copied();
    let mut running: Vec<(SocketAddr, Pin<Box<C>>)> = Vec::new();
    let mut failed = Vec::new();
    loop {
        // A start, and a wait until it is time for the next one.
        if let Some(address) = left.next() {
            running.push((address, Box::pin(connect(address))));
        } else if running.is_empty() {
            return Err(failed);
        }
        let mut stagger = (left.len() > 0).then(|| Box::pin(sleep(STAGGER)));
        let done = poll_fn(|cx| {
            for (at, (_, connect)) in running.iter_mut().enumerate() {
                if let Poll::Ready(end) = connect.as_mut().poll(cx) {
                    return Poll::Ready(Some((at, end)));
                }
            }
            match &mut stagger {
                Some(stagger) => stagger.as_mut().poll(cx).map(|()| None),
                None => Poll::Pending,
            }
        });
        let Some((at, end)) = done.await else { continue };
        let (address, _) = running.remove(at);
        match end {
            Ok(stream) => {
                let earlier = running.iter().take(at).map(|(address, _)| *address);
                let slower = failed.iter().map(|(address, _)| *address).chain(earlier).collect();
                return Ok(Won { stream, address, slower });
            }
            Err(fault) => failed.push((address, fault)),
        }
    }
}
