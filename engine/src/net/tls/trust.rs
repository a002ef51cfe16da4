//! Whom to trust: the system's roots, a bundle instead of them, or anybody.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::access::Environment;
use crate::config::Access;
use crate::error::{Error, ErrorKind, Result};

/// Bytes of a certificate bundle; those of the large systems have 250 KB.
pub const BUNDLE_BYTES_MAX: u64 = 8 << 20;
/// Servers whose sessions are remembered: one, or one per bucket and region.
const SERVERS_REMEMBERED: usize = 32;

/// Which certificates a peer may show.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Those that the system's roots, or `SSL_CERT_FILE` and `SSL_CERT_DIR`,
    /// vouch for.
    #[default]
    System,
    /// Those that these roots, and no others, vouch for.
    Roots(Arc<RootCertStore>),
    /// Any.
    Anybody,
}

impl Trust {
    /// `--insecure`, else `--ca-bundle`, else `AWS_CA_BUNDLE`, else the system.
    ///
    /// # Errors
    /// `Config` for a bundle that cannot be read or holds no certificate.
    pub fn of(access: &Access, environment: &Environment) -> Result<Self> {
        if access.insecure {
            return Ok(Self::Anybody);
        }
        let asked = access.ca_bundle.as_deref().map(|path| ("--ca-bundle", path));
        let set = environment.ca_bundle.as_deref().map(|path| ("AWS_CA_BUNDLE", path));
        match asked.or(set) {
            Some((source, path)) => Ok(Self::Roots(Arc::new(bundle(source, path)?))),
            None => Ok(Self::System),
        }
    }

    /// As this one, and whom the certificates in `path` vouch for besides.
    ///
    /// # Errors
    /// As [`Trust::of`].
    pub fn also(self, path: &Path) -> Result<Self> {
        let more = bundle("what names it", path)?;
        let mut roots = match self {
            Self::Anybody => return Ok(Self::Anybody),
            Self::Roots(roots) => RootCertStore::clone(&roots),
            // Without a single root of the system's the file is enough.
            Self::System => system().unwrap_or_else(|_| RootCertStore::empty()),
        };
        roots.extend(more.roots);
        Ok(Self::Roots(Arc::new(roots)))
    }

    /// The configuration that trusts so.
    ///
    /// # Errors
    /// `Config` when the system has no roots.
    pub fn client_config(&self) -> Result<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|fault| Error::new(ErrorKind::Internal, "cannot set TLS up").because(fault))?;
        let mut config = match self {
            Self::System => builder.with_root_certificates(system()?),
            Self::Roots(roots) => builder.with_root_certificates(Arc::clone(roots)),
            Self::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
        }
        .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(SERVERS_REMEMBERED);
        Ok(config)
    }
}

/// The system's roots.
fn system() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let none = Error::new(
        ErrorKind::Config,
        "this system has no root certificates, so no https endpoint can be verified: install the \
         ca-certificates package, or name a PEM file with --ca-bundle, AWS_CA_BUNDLE or \
         SSL_CERT_FILE",
    );
    Err(match found.errors.into_iter().next() {
        Some(fault) => none.because(fault),
        None => none,
    })
}

/// The certificates in a file that `source` names.
fn bundle(source: &str, path: &Path) -> Result<RootCertStore> {
    let unusable = |what: &str| {
        let shown = path.display();
        Error::new(
            ErrorKind::Config,
            format!(
                "the certificate bundle {shown} {what}: correct {source}, or leave it out to trust the system's roots"
            ),
        )
    };
    let mut pem = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(BUNDLE_BYTES_MAX + 1).read_to_end(&mut pem));
    let bytes = read.map_err(|fault| unusable("cannot be read").because(fault))?;
    if bytes as u64 > BUNDLE_BYTES_MAX {
        return Err(unusable("is larger than 8 MiB"));
    }
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|fault| unusable("is not well-formed PEM").because(fault))?;
    if certificates.is_empty() {
        return Err(unusable("holds no certificate (PEM, BEGIN CERTIFICATE)"));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(unusable("holds no certificate that can be parsed"));
    }
    Ok(roots)
}

/// Takes any certificate, but only from a peer that has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
