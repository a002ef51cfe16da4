//! How long each wait may last. All are limits on a lack of progress, never
//! on a whole transfer: a slow store is fine, a silent one is not.

use std::time::Duration;

/// The limits of one origin's waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A name to resolve: the resolver's own default is 5 s a server, twice.
    pub resolve: Duration,
    /// One TCP handshake with one address: two lost SYNs (1 s, 2 s) fit.
    pub connect: Duration,
    /// One TLS handshake after it: two round trips, and a busy server's
    /// signature.
    pub handshake: Duration,
    /// From the end of the request to the first byte of the answer: a store
    /// that commits a large part may think for many seconds.
    pub first_byte: Duration,
    /// Between two bytes of an answer's body, from the first to the last of
    /// its head, or while no byte of a request is accepted.
    pub stall: Duration,
    /// How often a send that is stuck looks for an early answer.
    pub glance: Duration,
    /// An idle connection older than this is not used again: many stores and
    /// load balancers close theirs after 20 s or more.
    pub idle: Duration,
    /// One call of the control plane, completing a large multipart upload
    /// being the slowest: S3 may take minutes for 10,000 parts.
    pub control: Duration,
}

impl Patience {
    /// The limits in use.
    pub const DEFAULT: Self = Self {
        resolve: Duration::from_secs(20),
        connect: Duration::from_millis(3_100),
        handshake: Duration::from_secs(10),
        first_byte: Duration::from_secs(30),
        stall: Duration::from_secs(20),
        glance: Duration::from_millis(500),
        idle: Duration::from_secs(15),
        control: Duration::from_secs(300),
    };
}

const _: () = assert!(Patience::DEFAULT.glance.as_millis() < Patience::DEFAULT.stall.as_millis());
const _: () = assert!(Patience::DEFAULT.connect.as_millis() < Patience::DEFAULT.stall.as_millis());
const _: () =
    assert!(Patience::DEFAULT.handshake.as_millis() < Patience::DEFAULT.stall.as_millis());
