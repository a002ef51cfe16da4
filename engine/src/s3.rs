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
//! Endpoint and snapshot are `Send`: they are what is mailed to a shard. Both
//! are shared with the SDK. The snapshot's content is replaced before it
//! expires, or when a store says that it has, by a task on the control thread
//! that ends with the last copy; the endpoint moves to another region once at
//! most.
//!
//! How a store checks what it is sent is on a ladder of its own
//! ([`checksum`]), shared by all shards.
//!
//! Nothing here tries twice (one dead keep-alive connection excepted): an
//! error carries its [`crate::RetryClass`], and the caller's policy decides.
//!
//! Limits: error bodies are read up to 8 KiB. An https endpoint is never
//! downgraded.

mod aws;
pub mod checksum;
pub mod client;
pub mod control;
pub mod credentials;
pub mod encode;
pub mod endpoint;
pub mod fault;
mod framing;
pub mod get;
pub mod open;
pub mod put;
mod sdk;
pub mod sign;
mod verdict;
mod xml;

pub use checksum::{Checks, Proof, Rung};
pub use control::{
    Answer, Completed, Control, Kept, ListedPart, ObjectInfo, Page, PartDone, PartPage,
};
pub use credentials::CredentialsSnapshot;
pub use endpoint::Endpoint;
pub use get::{GetBody, GetHead, GetRequest};
pub use open::{Opened, open, open_in};
pub use put::{Put, PutDone, PutRequest};
#[cfg(feature = "fuzz")]
pub(crate) use xml::text as xml_text;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::job::StoreOptions;
use crate::mem::Buffer;
use crate::net::http1::RequestHead;
use crate::net::{Network, Origin, Patience, Response};
use crate::ring::Ring;
use fault::{Fault, Subject};
use sign::Unsigned;
use verdict::{Signed, verdict};

/// Bytes of an error body that are looked at.
const ERROR_BODY_BYTES_MAX: usize = 8 << 10;
/// Hosts one store keeps connections to: one, or one per bucket with
/// virtual-host addressing.
const ORIGINS_MAX: usize = 8;
/// The longest wait for fresh credentials; the renewal gives up before.
const FRESH_MAX: Duration = Duration::from_secs(90);

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
    /// How the store checks what it is sent.
    pub checks: Arc<Checks>,
}

impl Contact {
    /// A contact over the machine's own network, without options.
    pub fn new(endpoint: Arc<Endpoint>, credentials: CredentialsSnapshot) -> Self {
        let (network, options, checks) = (Network::default(), Arc::default(), Arc::default());
        Self { endpoint, credentials, network, options, checks }
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
    checks: Arc<Checks>,
    patience: Patience,
    clock: Clock,
    origins: Rc<RefCell<Origins>>,
}

impl Store {
    /// A store on `ring`.
    pub fn new(ring: Ring, contact: Contact) -> Self {
        let Contact { endpoint, credentials, network, options, checks } = contact;
        let (patience, clock, origins) = (Patience::DEFAULT, Clock::System, Rc::default());
        Self { ring, endpoint, credentials, network, options, checks, patience, clock, origins }
    }

    /// How the store checks what it is sent.
    pub fn checks(&self) -> &Arc<Checks> {
        &self.checks
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
    fn origin(&self, host: &str, port: u16) -> Rc<Origin> {
        let mut origins = self.origins.borrow_mut();
        if let Some((_, origin)) = origins.iter().find(|(name, _)| name == host) {
            return Rc::clone(origin);
        }
        if origins.len() == ORIGINS_MAX {
            origins.remove(0);
        }
        let network = self.network.clone();
        let wire = self.endpoint.wire();
        let origin = Origin::new(self.ring.clone(), network, host, port, wire, self.patience);
        origins.push((host.to_owned(), Rc::clone(&origin)));
        origin
    }

    fn sign(&self, unsigned: &Unsigned<'_>, region: &str) -> Result<(RequestHead, Signed)> {
        let current = self.credentials.current();
        let head = sign::sign(unsigned, current.credentials.as_deref(), region, self.clock.now())?;
        Ok((
            head,
            Signed { generation: current.generation, region: region.to_owned(), rung: Rung::None },
        ))
    }

    /// Waits for credentials that no store has refused; whether there are any.
    pub(crate) async fn fresh(&self) -> bool {
        let fresh = self.credentials.fresh();
        self.ring.within(FRESH_MAX, fresh).await.unwrap_or(false)
    }

    /// What a refusal says, in the store's own words where it has any.
    async fn explain(
        &self,
        response: Response,
        subject: Subject<'_>,
        signed: &Signed,
    ) -> (Error, Buffer) {
        let head = response.head().clone();
        let (body, scratch) = response.finish_with_text(ERROR_BODY_BYTES_MAX).await;
        let fault = Fault::from_answer(&head, &body);
        (verdict(fault, &self.endpoint, &self.credentials, signed, subject), scratch)
    }

    /// The field that says who pays, where it is whoever asks.
    fn payer(&self) -> Option<(&'static str, String)> {
        self.options.request_payer.then(|| ("x-amz-request-payer", "requester".to_owned()))
    }
}
