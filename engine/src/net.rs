//! Byte transport to one origin: names, connections, TLS, HTTP/1.1.
//!
//! It is: resolve, connect, TLS ([`tls`]), a keep-alive pool, head and body
//! framing. It is not: S3 (signing, XML, retries beyond one stale connection).
//!
//! ```text
//!  Origin ── connection() ──► Connection ── send_all ─┐
//!    ▲  idle pool                                      ▼
//!    │  Dial: names, proxy, connect                    │
//!    └──────── finish() ◄── Response ◄── read_head (http1::head)
//!                             └─ read(buffer)  (http1::body)
//! ```
//!
//! Whoever works on tokio instead of the ring dials with [`dialer`].
//!
//! Invariants:
//! * A buffer that goes in comes back, also after a timeout: the socket is
//!   shut down and the operation, which then ends, returns it.
//! * Only a connection whose last answer was read to its end, and that said
//!   nothing since, is used again.
//! * Body bytes are received into the caller's buffer; what came with the
//!   head is copied once.
//!
//! Limits: a head has at most 16 KiB and 64 fields; an origin keeps at most
//! [`origin::IDLE_CONNECTIONS_MAX`] idle connections; every wait has a limit,
//! listed in [`Patience`].

pub mod connect;
pub mod connection;
pub mod dial;
pub mod dialer;
pub mod error;
pub mod http1;
pub mod names;
pub mod network;
pub mod origin;
pub mod proxy;
pub mod response;
pub mod tls;
pub mod transport;

pub use crate::waits::Patience;
pub use connection::Connection;
pub use error::NetError;
pub use network::Network;
pub use origin::Origin;
pub use response::Response;
pub use tls::Wire;
