//! The way to the service: HTTP calls, WebSockets, and bytes through them.
//!
//! ```text
//!   Place ──► Network::stream ──► Stream (TCP, or TLS over it)
//!             Network::websocket ──► Socket ──► pump ◄──► a local stream
//!             Network::call ──► answer
//! ```
//!
//! The sidecar and the user's command line dial the same service, so there is
//! one way to do it: names, proxies and trust are the engine's.
//!
//! Invariants: a certificate is verified unless the caller asked not to; an
//! error names host, cause and remedy, and no token. Limits: an answer has at
//! most [`ANSWER_BYTES_MAX`]; a message what the caller allows; names, connects,
//! proxies and handshakes wait as long as the engine lets them.
//!
//! It is not a client of the service's API: who is called what for, with which
//! token, is its callers' business.

mod call;
mod error;
mod network;
mod place;
pub mod pump;
mod stream;
mod websocket;

pub use call::ANSWER_BYTES_MAX;
pub use error::LinkError;
pub use network::{Network, Trust};
pub use place::Place;
pub use stream::Stream;
pub use websocket::{MESSAGE_BYTES_MAX, Socket};
