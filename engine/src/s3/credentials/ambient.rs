//! The sources that this process finds around it, in AWS's order:
//! environment, profile (keys, role chains, SSO, `credential_process`), web
//! identity, container, instance metadata.

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::Region;

use super::{Asked, Source};
use crate::error::{Error, ErrorKind, RetryClass};
use crate::net::{Network, Patience};
use crate::s3::client::http_client;

/// Characters of a source's own explanation that are shown.
const REASON_CHARS_MAX: usize = 300;

/// AWS's chain of sources. Built anew for each question, so that files which
/// somebody has refreshed meanwhile (`aws sso login`, a rotated key) are read
/// again; what is kept between questions is the snapshot.
pub(in crate::s3) struct Ambient {
    network: Network,
    patience: Patience,
    region: Region,
}

impl Ambient {
    /// The chain, whose own requests (STS, SSO) are signed for `region`.
    pub(in crate::s3) fn new(network: Network, patience: Patience, region: &str) -> Self {
        Self { network, patience, region: Region::new(region.to_owned()) }
    }
}

impl Source for Ambient {
    fn ask(&self) -> Asked<'_> {
        Box::pin(async {
            let chain = DefaultCredentialsChain::builder()
                .configure(provider_config(&self.network, self.patience))
                .region(self.region.clone());
            chain.build().await.provide_credentials().await
        })
    }
}

/// How the sources reach the world.
fn provider_config(network: &Network, patience: Patience) -> ProviderConfig {
    ProviderConfig::without_region().with_http_client(http_client(network, patience))
}

/// The region of the AWS profile in use, if it names one.
pub(in crate::s3) async fn profile_region(network: &Network, patience: Patience) -> Option<String> {
    let config = provider_config(network, patience);
    let provider = ProfileFileRegionProvider::builder().configure(&config).build();
    provider.region().await.map(|region| region.to_string())
}

/// Why there are none, for the store whose entry would be `profile`.
pub(in crate::s3) fn missing(profile: &str, fault: &CredentialsError) -> Error {
    let sentence = match fault {
        CredentialsError::CredentialsNotLoaded(_) => format!(
            "there are no credentials for {profile}: the credential file (config.yaml) has no \
             entry for it under auth: data:, and the environment (AWS_ACCESS_KEY_ID), the AWS \
             profile, web identity, the container's endpoint and the instance's metadata offer \
             none; add one of them, or ask for unsigned requests (--no-sign-request)"
        ),
        _ => format!(
            "cannot get credentials for {profile}: {}; correct that source, or add the keys to \
             the credential file (config.yaml) under auth: data:",
            reason(fault)
        ),
    };
    Error::new(ErrorKind::Denied, sentence).in_class(RetryClass::Fatal)
}

/// What a source without entry says for another scheme than s3.
pub(in crate::s3) fn no_entry(profile: &str) -> Error {
    Error::new(
        ErrorKind::Denied,
        format!(
            "there are no credentials for {profile}: add access_key_id and access_key for it to \
             the credential file (config.yaml) under auth: data: (only s3:// uses those of the \
             environment)"
        ),
    )
    .in_class(RetryClass::Fatal)
}

/// The innermost cause, which says what to correct: one bounded line, and
/// nothing that a source's output may have put there.
fn reason(fault: &CredentialsError) -> String {
    let mut innermost: &dyn std::error::Error = fault;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    // A failed process's own output may hold what it was to keep.
    let text = text.split(". Stderr").next().unwrap_or_default();
    let line: String =
        text.lines().next().unwrap_or_default().chars().take(REASON_CHARS_MAX).collect();
    line.trim_end_matches(['.', ':', ' ']).to_owned()
}
