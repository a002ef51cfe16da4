//! Trust: which certificates a peer may show.

use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;

use crate::config::Access;
use crate::error::{Error, ErrorKind, Result};

/// What a connection's bytes are wrapped in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// Nothing.
    #[default]
    Plain,
    /// TLS.
    Tls,
}

/// How TLS peers are verified. Cheap to clone; roots are read at first use.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Tls {
    /// What `access` and the environment ask for.
    ///
    /// # Errors
    /// `Config` for a bundle that cannot be read.
    pub fn open(_access: &Access) -> Result<Self> {
        Ok(Self::default())
    }

    /// The configuration for HTTP/1.1 connections, on the ring and in the SDK
    /// alike.
    ///
    /// # Errors
    /// `Config` when no root certificate can be read.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|fault| Error::new(ErrorKind::Internal, "cannot set TLS up").because(fault))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::clone(self.config.get_or_init(|| Arc::new(config))))
    }
}
