//! How connections leave: names, proxies, trust. All of it is the engine's.

mod fault;

use std::fmt;
use std::path::PathBuf;

use http::HeaderMap;
use osmo_engine::access::Environment;
use osmo_engine::config::Access;
use osmo_engine::net::dialer::{Carrier, Dialer};
use osmo_engine::net::tls::{Tls, trust};
use osmo_engine::net::{self, NetError, Patience, Wire};

use crate::{LinkError, Place, Stream};

/// Whom to believe.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Certificates to trust besides the system's, or besides those of
    /// `AWS_CA_BUNDLE`, `SSL_CERT_FILE` and `SSL_CERT_DIR` where they are set.
    pub ca_file: Option<PathBuf>,
    /// False takes any certificate: for a service that has no proper one. Who
    /// sets it owes the user a warning.
    pub verify: bool,
}

impl Default for Trust {
    fn default() -> Self {
        Self { ca_file: None, verify: true }
    }
}

/// The way out; clones share it, and the TLS sessions to resume.
#[derive(Clone)]
pub struct Network {
    dialer: Dialer,
    /// Of every call and dial.
    pub(crate) headers: HeaderMap,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

impl Network {
    /// Reads the environment (proxies, trust) once.
    ///
    /// # Errors
    /// A certificate file that cannot be used. A proxy variable that cannot be
    /// used is an error of the dials that need it.
    pub fn open(trust: Trust) -> Result<Self, LinkError> {
        let told = |error: osmo_engine::Error| LinkError::Address(fault::chain(&error));
        let access = Access { insecure: !trust.verify, ..Access::default() };
        let mut whom = trust::Trust::of(&access, Environment::get()).map_err(told)?;
        if let Some(file) = &trust.ca_file {
            whom = whom.also(file).map_err(told)?;
        }
        let network = net::Network::through(Tls::trusting(whom));
        let dialer = Dialer::new(network, Patience::DEFAULT);
        Ok(Self { dialer, headers: HeaderMap::new() })
    }

    /// The same way, whose every call and dial carries `headers` besides its
    /// own.
    pub fn carrying(self, headers: HeaderMap) -> Self {
        Self { headers, ..self }
    }

    /// A connection whose other end is the place itself, through a proxy where
    /// one is set. Every step has the engine's limit on waiting.
    ///
    /// # Errors
    /// Nobody is there, or somebody who is not trusted.
    pub async fn stream(&self, place: &Place) -> Result<Stream, LinkError> {
        let carrier = self.dialer.stream(wire(place), place.host(), place.port()).await;
        carrier.map(Stream).map_err(|error| unreached(place, &error))
    }

    /// A connection for requests: the other end may be a proxy that sends them
    /// on.
    pub(crate) async fn for_requests(&self, place: &Place) -> Result<Carrier, LinkError> {
        let carrier = self.dialer.dial(wire(place), place.host(), place.port()).await;
        carrier.map_err(|error| unreached(place, &error))
    }
}

fn wire(place: &Place) -> Wire {
    if place.is_secure() { Wire::Tls } else { Wire::Plain }
}

fn unreached(place: &Place, error: &NetError) -> LinkError {
    LinkError::Unreached { place: place.authority(), reason: fault::reason(error) }
}
