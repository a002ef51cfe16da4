//! TLS in our own buffers: whom to trust, the handshake, the stream after it.
//!
//! It is: one configuration for the whole process (also under the SDK), and a
//! session without I/O that decrypts in the caller's buffer. It is not: a
//! socket of its own; the ring moves every byte, as it does for plain TCP.
//!
//! ```text
//!   Transport::Tls ─► stream ── recv ──► caller's buffer ── decrypted in place
//!        ▲              │  ▲                    │
//!        │ handshake    │  └── held ◄───────────┘ at most one part of a record
//!        │              ▼
//!      connect       session (the only file that names the library's
//!        ▲              │      connection types)
//!        │              └── seal ─► room ── send
//!      trust: roots, a bundle, or anybody
//! ```
//!
//! Memory: ciphertext is received into the buffer that its plaintext is for.
//! What is left over, the beginning of a record or plaintext beyond a short
//! room, is held by the connection: at most [`stream::HELD_BYTES_USUAL`], freed
//! as soon as it is used up. What is sent is sealed into the buffer that the
//! request's head went through, which the part owns already and does not need
//! before the answer: no memory beside the part's lease, so no part ever waits
//! for another one's send. Only a handshake, which belongs to no part, has
//! buffers of its own: [`HANDSHAKES_MAX`] of [`HANDSHAKE_BUFFER_BYTES`], each
//! held for one handshake, which ends in time.
//!
//! Invariants:
//! * An end of the stream that the peer has not announced (`close_notify`) is
//!   an error, never an end of the data.
//! * Tickets, key updates and empty records are no answer: a glance takes them
//!   in, and a connection at rest stays usable.
//! * A certificate is either verified or `--insecure` was asked for, and said.
//!
//! Limits: TLS 1.2 and 1.3; records of 16 KiB; a handshake message of 64 KiB;
//! certificate bundles of [`trust::BUNDLE_BYTES_MAX`].

pub mod fault;
mod handshake;
mod held;
mod session;
pub mod stream;
pub mod trust;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;

use crate::access::Environment;
use crate::config::Access;
use crate::error::{Error, ErrorKind, Result};
use crate::mem::Pool;

pub use fault::TlsFault;
pub use stream::TlsStream;
use trust::Trust;

/// Handshakes at once; more wait first come, first served.
pub const HANDSHAKES_MAX: usize = 32;
/// A whole flight of most servers: certificates take some 4 KiB.
pub const HANDSHAKE_BUFFER_BYTES: usize = 16 << 10;

/// What a connection's bytes are wrapped in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// Nothing.
    #[default]
    Plain,
    /// TLS.
    Tls,
}

/// How TLS peers are verified. Cheap to clone; clones share sessions to
/// resume, and system roots are read at first use.
#[derive(Clone, Debug, Default)]
pub struct Tls(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    trust: Trust,
    config: OnceLock<Arc<ClientConfig>>,
    rooms: OnceLock<Pool>,
}

impl Tls {
    /// What `access` and the environment ask for.
    ///
    /// # Errors
    /// `Config` for a bundle that cannot be used.
    pub fn open(access: &Access) -> Result<Self> {
        Self::open_in(access, Environment::get())
    }

    /// [`Tls::open`] in a given environment.
    ///
    /// # Errors
    /// As [`Tls::open`].
    pub fn open_in(access: &Access, environment: &Environment) -> Result<Self> {
        let trust = Trust::of(access, environment)?;
        if matches!(trust, Trust::Anybody) {
            tracing::warn!(
                "--insecure: certificates are not verified, so the store may be anybody and see \
                 the data"
            );
        }
        Ok(Self::trusting(trust))
    }

    /// TLS that trusts so. Whoever trusts the system's roots shares them, and
    /// the sessions to resume, with the whole process.
    pub fn trusting(trust: Trust) -> Self {
        static SYSTEM: OnceLock<Tls> = OnceLock::new();
        let fresh = |trust| Self(Arc::new(Shared { trust, ..Shared::default() }));
        match trust {
            Trust::System => SYSTEM.get_or_init(|| fresh(Trust::System)).clone(),
            trust => fresh(trust),
        }
    }

    /// The configuration for HTTP/1.1 connections, on the ring and in the SDK
    /// alike. Reads the system's roots the first time.
    ///
    /// # Errors
    /// `Config` when no root certificate can be read.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>> {
        if let Some(config) = self.0.config.get() {
            return Ok(Arc::clone(config));
        }
        let config = self.0.trust.client_config()?;
        Ok(Arc::clone(self.0.config.get_or_init(|| Arc::new(config))))
    }

    /// Buffers for handshakes.
    fn rooms(&self) -> Result<&Pool> {
        if let Some(pool) = self.0.rooms.get() {
            return Ok(pool);
        }
        let refused = |source: io::Error| {
            Error::new(ErrorKind::Local, "cannot reserve memory for TLS handshakes").because(source)
        };
        let pool = Pool::new(HANDSHAKES_MAX, HANDSHAKE_BUFFER_BYTES).map_err(refused)?;
        Ok(self.0.rooms.get_or_init(|| pool))
    }
}
