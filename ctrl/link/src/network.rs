//! How connections leave: names, proxies, trust.

use std::path::PathBuf;

use tokio::net::TcpStream;

use crate::{LinkError, Place, Stream};

/// Whom to believe.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// False takes any certificate: for a service that has no proper one.
    pub verify: bool,
}

impl Default for Trust {
    fn default() -> Self {
        Self { ca_file: None, verify: true }
    }
}

/// The way out; clones share it.
#[derive(Clone, Debug)]
pub struct Network(#[expect(dead_code, reason = "read once TLS is there")] Trust);

impl Network {
    /// Reads the environment (proxies, trust) once.
    ///
    /// # Errors
    /// A proxy or certificate file that cannot be understood.
    pub fn open(trust: Trust) -> Result<Self, LinkError> {
        Ok(Self(trust))
    }

    /// A connection.
    ///
    /// # Errors
    /// Nobody is there, or somebody who is not trusted.
    pub async fn stream(&self, place: &Place) -> Result<Stream, LinkError> {
        let failed = |reason: String| LinkError::Unreached { place: place.authority(), reason };
        if place.is_secure() {
            return Err(failed("encrypted connections are not available yet".to_owned()));
        }
        let tcp = TcpStream::connect((place.host(), place.port()))
            .await
            .map_err(|error| failed(error.to_string()))?;
        let _ = tcp.set_nodelay(true);
        Ok(Stream(tcp))
    }
}
