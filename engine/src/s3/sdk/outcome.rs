//! The SDK's errors in the words that the ring's path uses.

use std::error::Error as StdError;

use aws_sdk_s3::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;

use crate::error::{Error, ErrorKind};
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
        match fault {
            SdkError::ServiceError(refusal) => {
                let raw = refusal.raw();
                let body = raw.body().bytes().unwrap_or_default();
                let region = raw.headers().get("x-amz-bucket-region");
                let fault = Fault::from_parts(raw.status().as_u16(), region, body);
                verdict(fault, endpoint, credentials, signed, subject)
            }
            SdkError::DispatchFailure(ref inner)
                if let Some(below) = inner.as_connector_error().and_then(|f| net_fault(f)) =>
            {
                let (kind, class) = below.verdict();
                let error = Error::new(kind, below.sentence(url)).in_class(class);
                chained(error, fault)
            }
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
                let reachable =
                    format!("cannot reach {url}: check the endpoint URL and the network");
                chained(Error::new(ErrorKind::Unreachable, reachable), fault)
            }
            SdkError::ResponseError(_) => {
                chained(self.protocol("something that S3 does not say", subject), fault)
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

    /// A success that is none.
    pub(super) fn protocol(&self, what: &str, subject: Subject<'_>) -> Error {
        let endpoint = self.contact.endpoint.url();
        Error::new(
            ErrorKind::Protocol,
            format!(
                "{endpoint} answered the request for {subject} with {what}: it is no S3 store, \
                 or a proxy before it is broken"
            ),
        )
    }
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
