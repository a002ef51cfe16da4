//! The SDK's errors in the words that the ring's path uses.

use std::error::Error as StdError;

use aws_sdk_s3::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::error::{Error, ErrorKind};
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
        match fault {
            SdkError::ServiceError(refusal) => {
                let raw = refusal.raw();
                let body = raw.body().bytes().unwrap_or_default();
                let region = raw.headers().get("x-amz-bucket-region");
                Fault::from_parts(raw.status().as_u16(), region, body).error_at(
                    endpoint,
                    &self.region,
                    subject,
                )
            }
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
                let reachable =
                    format!("cannot reach {endpoint}: check the endpoint URL and the network");
                chained(Error::new(ErrorKind::Unreachable, reachable), fault)
            }
            SdkError::ResponseError(_) => {
                chained(self.protocol("something that S3 does not say", subject), fault)
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

    /// What a refusal within an answer means.
    pub(super) fn refused(&self, fault: Fault, subject: Subject<'_>) -> Error {
        fault.error_at(&self.endpoint, &self.region, subject)
    }

    /// A success that is none.
    pub(super) fn protocol(&self, what: &str, subject: Subject<'_>) -> Error {
        let endpoint = &self.endpoint;
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
        Ok(source) => error.because(source),
        Err(_) => error,
    }
}
