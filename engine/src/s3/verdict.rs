//! What a refusal asks for besides a sentence: another region, or fresh
//! credentials. The same for answers on the ring and through the SDK.

use std::time::SystemTime;

use super::checksum::Rung;
use super::credentials::CredentialsSnapshot;
use super::endpoint::Endpoint;
use super::fault::{Fault, Subject};
use crate::error::{Error, ErrorKind, RetryClass};

/// What a request was signed with and for, and how its body is checked.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    /// The generation of the credentials.
    pub(super) generation: u64,
    /// The region.
    pub(super) region: String,
    /// What the store checks the body by.
    pub(super) rung: Rung,
}

/// The refusal of a request that was signed so, as an error. A bucket's first
/// move to another region is followed by whoever asks next; credentials that
/// have expired are renewed meanwhile ([`CredentialsSnapshot::fresh`]).
pub(super) fn verdict(
    fault: Fault,
    endpoint: &Endpoint,
    credentials: &CredentialsSnapshot,
    signed: &Signed,
    subject: Subject<'_>,
) -> Error {
    if let (300..=400, Some(region)) = (fault.status, fault.region.as_deref())
        && endpoint.follow(&signed.region, region)
    {
        let sentence = format!(
            "bucket {} is in region {region}, not {}: going on there",
            subject.bucket, signed.region
        );
        return Error::new(ErrorKind::Config, sentence).in_class(RetryClass::Retry).because(fault);
    }
    let expired = is_expired(&fault, credentials);
    if expired {
        credentials.refuse(signed.generation);
    }
    let error = fault.error_at(endpoint.url(), &signed.region, subject, signed.rung);
    match error.class() {
        _ if expired => error.in_class(RetryClass::Auth),
        RetryClass::Auth => error.in_class(RetryClass::Fatal),
        _ => error,
    }
}

/// Whether other credentials may do where these do not. The answer to a HEAD
/// has no body that could say so: there, 401 and what looks like it counts,
/// where the credentials are of the kind that expires.
fn is_expired(fault: &Fault, credentials: &CredentialsSnapshot) -> bool {
    let current = credentials.current();
    let Some(current) = current.credentials else { return false };
    let temporary = current.session_token().is_some();
    match (fault.code.as_deref(), fault.status) {
        (Some("ExpiredToken" | "TokenRefreshRequired" | "InvalidToken" | "RequestExpired"), _) => {
            true
        }
        (Some(_), 401 | 403) => {
            let message = fault.message.as_deref().unwrap_or_default().to_ascii_lowercase();
            fault.code.as_deref() == Some("AccessDenied") && message.contains("expired")
        }
        (None, 401) => true,
        (None, 400) => temporary,
        (None, 403) => credentials.expired(SystemTime::now()),
        _ => false,
    }
}
