//! The router: a backend and a client under one key become a pair.
//!
//! ```text
//!            backend                     client
//! nobody     wait                        wait (its own timeout)
//! backend    ignored                     PAIR
//! client     PAIR                        both closed, 1000
//! pair       ignored                     dropped, 1006
//! ```
//!
//! Whoever waits is not read by its session, so early frames wait in the queue
//! and somebody who left meanwhile is noticed only by the one who comes later.
//! Path kind and workflow do not matter. An "ignored" backend is never paired
//! nor closed.

use super::Shared;
use super::link::{Frame, Link, Out};
use osmo_protocol::router::Side;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Webserver keys remembered as alive.
const ALIVE_MAX: usize = 1024;
/// Longest wait that a client may ask for, seconds.
const WAIT_S_MAX: u64 = 86_400;

/// A dial of one side.
pub(crate) struct Dial {
    pub(crate) side: Side,
    pub(crate) key: String,
    /// `?timeout=`, clients only.
    pub(crate) wait_s: Option<u64>,
}

/// All keys in use. As many as there are connections at most.
#[derive(Default)]
pub(crate) struct Pairs(Mutex<Table>);

#[derive(Default)]
struct Table {
    entries: HashMap<String, Entry>,
    last_id: u64,
    /// Where a browser's requests are told, by key in small letters.
    webservers: BTreeMap<String, mpsc::Sender<Out>>,
}

struct Entry {
    id: u64,
    state: State,
}

enum State {
    Waiting(Side, oneshot::Sender<Link>),
    Paired,
}

/// What a dial leads to.
enum Arrival<'a> {
    /// First: the other side comes through the channel.
    Wait(Link, Seat<'a>, oneshot::Receiver<Link>),
    /// Second: the link was handed to the first.
    HandedOver,
    /// Two clients, or the first one has just gone.
    Close(Link),
    Drop(Link),
    Ignore(Link),
}

impl Pairs {
    /// A restart forgets every key.
    pub(crate) fn clear(&self) {
        *self.table() = Table::default();
    }

    /// Whether a webserver was registered under the key, in any case of
    /// letters. It stays so after the backend has left.
    pub(crate) fn is_alive(&self, key: &str) -> bool {
        self.table().webservers.contains_key(&key.to_lowercase())
    }

    /// The control socket under a webserver's key; it may have left.
    pub(crate) fn control(&self, key: &str) -> Option<mpsc::Sender<Out>> {
        self.table().webservers.get(&key.to_lowercase()).cloned()
    }

    /// The latest control socket under a key counts.
    pub(crate) fn register(&self, key: &str, control: mpsc::Sender<Out>) {
        let mut table = self.table();
        if table.webservers.len() >= ALIVE_MAX {
            table.webservers.pop_first();
        }
        table.webservers.insert(key.to_lowercase(), control);
    }

    /// Forgets a control socket that never came to be, unless another one has
    /// the key by now.
    pub(crate) fn unregister(&self, key: &str, control: &mpsc::Sender<Out>) {
        let mut table = self.table();
        let key = key.to_lowercase();
        if table.webservers.get(&key).is_some_and(|known| known.same_channel(control)) {
            table.webservers.remove(&key);
        }
    }

    /// Takes a place under a fresh key; who dials on the other side comes
    /// through the channel.
    pub(crate) fn expect(&self, side: Side, key: &str) -> (Seat<'_>, oneshot::Receiver<Link>) {
        let mut table = self.table();
        table.last_id += 1;
        let id = table.last_id;
        let (tx, rx) = oneshot::channel();
        table.entries.insert(key.to_owned(), Entry { id, state: State::Waiting(side, tx) });
        (Seat { pairs: self, key: key.to_owned(), id }, rx)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrive(&self, side: Side, key: &str, link: Link) -> Arrival<'_> {
        let mut table = self.table();
        match table.entries.remove(key) {
            None => {
                table.last_id += 1;
                let id = table.last_id;
                let (tx, rx) = oneshot::channel();
                let state = State::Waiting(side, tx);
                table.entries.insert(key.to_owned(), Entry { id, state });
                Arrival::Wait(link, Seat { pairs: self, key: key.to_owned(), id }, rx)
            }
            Some(Entry { id, state: State::Waiting(first, tx) }) => match (first, side) {
                (Side::Backend, Side::Client) | (Side::Client, Side::Backend) => {
                    match tx.send(link) {
                        Ok(()) => {
                            table
                                .entries
                                .insert(key.to_owned(), Entry { id, state: State::Paired });
                            Arrival::HandedOver
                        }
                        Err(link) => Arrival::Close(link),
                    }
                }
                (Side::Client, Side::Client) => Arrival::Close(link),
                (Side::Backend, Side::Backend) => {
                    let state = State::Waiting(first, tx);
                    table.entries.insert(key.to_owned(), Entry { id, state });
                    Arrival::Ignore(link)
                }
            },
            Some(paired) => {
                table.entries.insert(key.to_owned(), paired);
                if side == Side::Client { Arrival::Drop(link) } else { Arrival::Ignore(link) }
            }
        }
    }
}

/// The first one's entry; freed with it, also when its task is ended.
pub(crate) struct Seat<'a> {
    pairs: &'a Pairs,
    key: String,
    id: u64,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut table = self.pairs.table();
        if table.entries.get(&self.key).is_some_and(|entry| entry.id == self.id) {
            table.entries.remove(&self.key);
        }
    }
}

pub(crate) async fn serve(link: Link, dial: Dial, shared: &Shared) {
    let wait = match (dial.side, dial.wait_s) {
        (Side::Client, Some(wait_s)) => Duration::from_secs(wait_s.min(WAIT_S_MAX)),
        _ => shared.config.pair_wait,
    };
    match shared.pairs.arrive(dial.side, &dial.key, link) {
        Arrival::HandedOver => {}
        Arrival::Close(link) => link.close(1000, "").await,
        Arrival::Drop(link) => link.drop_peer().await,
        Arrival::Ignore(link) => drop(link),
        Arrival::Wait(link, seat, mut other) => {
            let came = tokio::time::timeout(wait, &mut other).await;
            match came.map_or_else(
                |_| other.try_recv().map_err(|_| Gone::Nobody),
                |came| came.map_err(|_| Gone::Refused),
            ) {
                Ok(other) => pair(dial.side, link, other).await,
                Err(Gone::Nobody) if dial.side == Side::Backend => {
                    drop(seat);
                    link.close(4000, "Router connection timeout").await;
                }
                Err(_) => {
                    drop(seat);
                    link.close(1000, "").await;
                }
            }
        }
    }
}

enum Gone {
    Nobody,
    Refused,
}

/// How one direction ends.
enum End {
    Left,
    Text,
}

async fn pair(side: Side, mine: Link, other: Link) {
    let (mut backend, mut client) = match side {
        Side::Backend => (mine, other),
        Side::Client => (other, mine),
    };
    let end = tokio::select! {
        end = pump(&mut backend.inbound, &client.outbound) => end,
        end = pump(&mut client.inbound, &backend.outbound) => end,
    };
    match end {
        End::Left => {
            tokio::join!(backend.close(1000, ""), client.close(1000, ""));
        }
        // The backend is told nothing: its link goes, its connection stays.
        End::Text => client.drop_peer().await,
    }
}

/// Moves binary frames. An empty one ends the direction: what follows is
/// ignored, until somebody leaves.
async fn pump(from: &mut mpsc::Receiver<Frame>, to: &mpsc::Sender<Out>) -> End {
    let mut flowing = true;
    while let Some(frame) = from.recv().await {
        match frame {
            Frame::Text(_) => return End::Text,
            Frame::Binary(bytes) if bytes.is_empty() => flowing = false,
            Frame::Binary(bytes) if flowing => {
                if to.send(Out::Binary(bytes)).await.is_err() {
                    return End::Left;
                }
            }
            Frame::Binary(_) => {}
        }
    }
    End::Left
}
