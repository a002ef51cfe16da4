//! The SDK's errors in the words that the ring's path uses.

use std::error::Error as StdError;

use aws_sdk_s3::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use http_body_util::LengthLimitError;

use super::whole::Cut;
use crate::error::{Error, ErrorKind, RetryClass};
use crate::s3::fault::{Fault, Subject};

/// Where answers come from.
pub(super) struct Outcome {
    endpoint: String,
    region: String,
}

impl Outcome {
    pub(super) fn new(endpoint: &str, region: &str) -> Self {
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), region: region.to_owned() }
    }

    /// What a failed call means.
    pub(super) fn error<E>(&self, fault: SdkError<E, HttpResponse>, subject: Subject<'_>) -> Error
    where
        E: StdError + Send + Sync + 'static,
    {
        let endpoint = &self.endpoint;
        if let Some(what) = misfit(fault.source()) {
            return self.protocol(what, subject);
        }
        match fault {
            SdkError::ServiceError(refusal) => {
                let raw = refusal.raw();
                let body = raw.body().bytes().unwrap_or_default();
                let region = raw.headers().get("x-amz-bucket-region");
                let said = Fault::from_parts(raw.status().as_u16(), region, body);
                if raw.status().is_success() && said.code.is_none() {
                    return self.protocol("something that S3 does not say", subject);
                }
                said.error_at(endpoint, &self.region, subject)
            }
            SdkError::DispatchFailure(failure)
                if failure.as_connector_error().is_some_and(|fault| {
                    // Neither timeout nor I/O, and not just cut short.
                    fault.is_other() && fault.as_other().is_none()
                }) =>
            {
                let sentence = format!(
                    "{endpoint} does not answer as an S3 store does: check the endpoint URL"
                );
                let fault: SdkError<E, _> = SdkError::DispatchFailure(failure);
                chained(garbled(sentence), fault)
            }
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
                let reachable =
                    format!("cannot reach {endpoint}: check the endpoint URL and the network");
                chained(Error::new(ErrorKind::Unreachable, reachable), fault)
            }
            // The head came, the body did not come whole.
            SdkError::ResponseError(_) => {
                let lost = format!("lost the connection to {endpoint}");
                chained(Error::new(ErrorKind::Unreachable, lost), fault)
            }
            _ => chained(
                Error::new(
                    ErrorKind::Config,
                    format!(
                        "cannot ask {endpoint} about {subject}: check the bucket's name, the \
                         region and the credentials"
                    ),
                ),
                fault,
            ),
        }
    }

    /// A success that is none.
    pub(super) fn protocol(&self, what: &str, subject: Subject<'_>) -> Error {
        let endpoint = &self.endpoint;
        garbled(format!(
            "{endpoint} answered the request for {subject} with {what}: it is no S3 store, or a \
             proxy before it is broken"
        ))
    }
}

/// What is wrong with a document that is too long or too short.
fn misfit(mut source: Option<&(dyn StdError + 'static)>) -> Option<&'static str> {
    while let Some(fault) = source {
        if fault.is::<LengthLimitError>() {
            return Some("a document that is larger than any of S3's");
        }
        if fault.is::<Cut>() {
            return Some("half a document");
        }
        source = fault.source();
    }
    None
}

/// A proxy in trouble garbles one answer and not the next.
fn garbled(sentence: String) -> Error {
    Error::new(ErrorKind::Protocol, sentence).in_class(RetryClass::Retry)
}

fn chained<E>(error: Error, fault: SdkError<E, HttpResponse>) -> Error
where
    E: StdError + Send + Sync + 'static,
{
    match fault.into_source() {
        Ok(source) => error.because(source),
        Err(_) => error,
    }
}
