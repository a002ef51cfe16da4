//! The store as the stages see it: object bytes on the ring ([`Store`]), all
//! else through [`Control`].

pub mod control;
pub mod get;
pub mod put;

pub use control::{Answer, Control, ObjectInfo, Page, PartDone};
pub use get::{GetBody, GetHead, GetRequest};
pub use put::{Put, PutDone, PutRequest};

use std::sync::Arc;

use crate::ring::Ring;

/// Whom requests go to and how they are addressed: scheme, host, port, region,
/// path or virtual-host style, resolved addresses. Immutable, shared by shards.
#[derive(Debug)]
pub struct Endpoint {}

/// A snapshot of credentials that the control thread replaces before they
/// expire; `None` inside means anonymous.
#[derive(Clone, Debug)]
pub struct CredentialsSnapshot {}

/// A shard's side of a store: connections, signer, timeouts. Not `Send`.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// A store on `ring`.
    pub fn new(_ring: Ring, _endpoint: Arc<Endpoint>, _credentials: CredentialsSnapshot) -> Self {
        todo!()
    }
}
