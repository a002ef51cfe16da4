//! The store as the stages see it: object bytes on the ring ([`Store`]), all
//! else through [`Control`].
//!
//! ```text
//!            open(access, uri)                      control thread
//!    ┌────────────┼──────────────┐
//! Endpoint   CredentialsSnapshot  Control ── sdk ──► list head create complete
//!    │                                              abort delete reach
//!    └────┬───────┘
//!       Store(ring) ── sign ── net ──► get   put            shard threads
//! ```
//!
//! Endpoint and snapshot are `Send`: they are what is mailed to a shard. The
//! snapshot's content is replaced before it expires, by a task on the control
//! thread that ends with the last copy.
//!
//! Nothing here tries twice (one dead keep-alive connection excepted): an
//! error carries its [`crate::RetryClass`], and the caller's policy decides.
//!
//! Limits: error bodies are read up to 8 KiB; object bytes move over plain
//! HTTP only, and an https endpoint is refused, never downgraded.

pub mod control;
pub mod credentials;
pub mod encode;
pub mod endpoint;
pub mod fault;
pub mod get;
pub mod open;
pub mod put;
mod sdk;
pub mod sign;
mod xml;

pub use control::{Answer, Control, Kept, ObjectInfo, Page, PartDone};
pub use credentials::CredentialsSnapshot;
pub use endpoint::Endpoint;
pub use get::{GetBody, GetHead, GetRequest};
pub use open::{Opened, open, open_control, open_in};
pub use put::{Put, PutDone, PutRequest};

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::job::StoreOptions;
use crate::mem::Buffer;
use crate::net::http1::RequestHead;
use crate::net::{Network, Origin, Patience, Response};
use crate::ring::Ring;
use fault::{Fault, Subject};
use sign::Unsigned;

/// Bytes of an error body that are looked at.
const ERROR_BODY_BYTES_MAX: usize = 8 << 10;
/// Hosts one store keeps connections to: one, or one per bucket with
/// virtual-host addressing.
const ORIGINS_MAX: usize = 8;

/// Whom a shard talks to and how; made on the control thread, mailed to
/// shards.
#[derive(Clone, Debug)]
pub struct Contact {
    /// Scheme, host, region, addressing.
    pub endpoint: Arc<Endpoint>,
    /// What to sign with.
    pub credentials: CredentialsSnapshot,
    /// Names, proxies and trust.
    pub network: Network,
    /// What is sent along with requests.
    pub options: Arc<StoreOptions>,
}

impl Contact {
    /// A contact over the machine's own network, without options.
    pub fn new(endpoint: Arc<Endpoint>, credentials: CredentialsSnapshot) -> Self {
        Self { endpoint, credentials, network: Network::default(), options: Arc::default() }
    }
}

/// Origins by host, the oldest first.
type Origins = Vec<(String, Rc<Origin>)>;

/// A shard's side of a store: connections, signer, timeouts. Not `Send`.
#[derive(Clone)]
pub struct Store {
    ring: Ring,
    endpoint: Arc<Endpoint>,
    credentials: CredentialsSnapshot,
    network: Network,
    options: Arc<StoreOptions>,
    patience: Patience,
    clock: Clock,
    origins: Rc<RefCell<Origins>>,
}

impl Store {
    /// A store on `ring`.
    pub fn new(ring: Ring, contact: Contact) -> Self {
        let Contact { endpoint, credentials, network, options } = contact;
        let (patience, clock, origins) = (Patience::DEFAULT, Clock::System, Rc::default());
        Self { ring, endpoint, credentials, network, options, patience, clock, origins }
    }

    /// The same store, whose requests are signed at `clock`'s time.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The same store with other limits on its waits; connections it has are
    /// not carried over.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self.origins = Rc::default();
        self
    }

    /// The origin that answers for `host`.
    fn origin(&self, host: &str) -> Rc<Origin> {
        let mut origins = self.origins.borrow_mut();
        if let Some((_, origin)) = origins.iter().find(|(name, _)| name == host) {
            return Rc::clone(origin);
        }
        if origins.len() == ORIGINS_MAX {
            origins.remove(0);
        }
        let network = self.network.clone();
        let port = self.endpoint.port();
        let origin = Origin::new(self.ring.clone(), network, host, port, self.patience);
        origins.push((host.to_owned(), Rc::clone(&origin)));
        origin
    }

    fn sign(&self, unsigned: &Unsigned<'_>) -> Result<RequestHead> {
        let credentials = self.credentials.current();
        sign::sign(unsigned, credentials.as_deref(), self.endpoint.region(), self.clock.now())
    }

    /// What a refusal says, in the store's own words where it has any.
    async fn explain(&self, response: Response, subject: Subject<'_>) -> (Error, Buffer) {
        let head = response.head().clone();
        let (body, scratch) = response.finish_with_text(ERROR_BODY_BYTES_MAX).await;
        (Fault::from_answer(&head, &body).into_error(&self.endpoint, subject), scratch)
    }
}
