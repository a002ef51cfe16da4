//! The SDK's errors in the words that the ring's path uses.

use std::error::Error as StdError;

use aws_sdk_s3::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use http_body_util::LengthLimitError;

use super::whole::Cut;
use crate::error::{Error, ErrorKind, RetryClass};
use crate::s3::Contact;
use crate::s3::client::net_fault;
use crate::s3::fault::{Fault, Subject};
use crate::s3::verdict::{Signed, verdict};

/// Where answers come from.
pub(super) struct Outcome {
    contact: Contact,
}

impl Outcome {
    pub(super) fn new(contact: Contact) -> Self {
        Self { contact }
    }

    pub(super) fn contact(&self) -> &Contact {
        &self.contact
    }

    /// What a failed call means.
    pub(super) fn error<E>(
        &self,
        fault: SdkError<E, HttpResponse>,
        subject: Subject<'_>,
        signed: &Signed,
    ) -> Error
    where
        E: StdError + Send + Sync + 'static,
    {
        let Contact { endpoint, credentials, .. } = &self.contact;
        let url = endpoint.url();
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
                verdict(said, endpoint, credentials, signed, subject)
            }
            SdkError::DispatchFailure(ref inner)
                if let Some(below) = inner.as_connector_error().and_then(|f| net_fault(f)) =>
            {
                let (kind, class) = below.verdict();
                let error = Error::new(kind, below.sentence(url)).in_class(class);
                chained(error, fault)
            }
            SdkError::DispatchFailure(ref inner)
                if inner.as_connector_error().is_some_and(|fault| fault.is_other()) =>
            {
                let sentence =
                    format!("{url} does not answer as an S3 store does: check the endpoint URL");
                chained(garbled(sentence), fault)
            }
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
                let reachable =
                    format!("cannot reach {url}: check the endpoint URL and the network");
                chained(Error::new(ErrorKind::Unreachable, reachable), fault)
            }
            // The head came, the body did not come whole.
            SdkError::ResponseError(_) => {
                let lost = format!("lost the connection to {url}");
                chained(Error::new(ErrorKind::Unreachable, lost), fault)
            }
            _ => chained(
                Error::new(
                    ErrorKind::Config,
                    format!(
                        "cannot ask {url} about {subject}: check the bucket's name, the \
                         region and the credentials"
                    ),
                ),
                fault,
            ),
        }
    }

    /// What a refusal within an answer means.
    pub(super) fn refused(&self, fault: Fault, subject: Subject<'_>, signed: &Signed) -> Error {
        let Contact { endpoint, credentials, .. } = &self.contact;
        verdict(fault, endpoint, credentials, signed, subject)
    }

    /// A success that is none.
    pub(super) fn protocol(&self, what: &str, subject: Subject<'_>) -> Error {
        let url = self.contact.endpoint.url();
        garbled(format!(
            "{url} answered the request for {subject} with {what}: it is no S3 store, or a proxy \
             before it is broken"
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
        // Its own text is a mere "io error".
        Ok(source) => match source.downcast::<ConnectorError>() {
            Ok(connector) => error.because(connector.into_source()),
            Err(source) => error.because(source),
        },
        Err(_) => error,
    }
}
