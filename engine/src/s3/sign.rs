//! Signature Version 4 in headers, as S3 wants it: the path is encoded once
//! and never normalised.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign as sign_v4,
};
use aws_sigv4::sign::v4;

use super::endpoint::Target;
use crate::error::{Error, ErrorKind, Result};
use crate::net::http1::{Method, RequestHead};

/// A request before it is signed.
#[derive(Clone, Debug)]
pub struct Unsigned<'a> {
    /// The method. A GET's or HEAD's empty body is signed; a PUT's body is
    /// not (`UNSIGNED-PAYLOAD`): its checksum header is, and the store checks
    /// the body against that. One that announces a trailer (`x-amz-trailer`)
    /// is `STREAMING-UNSIGNED-PAYLOAD-TRAILER`.
    pub method: Method,
    /// Where it goes.
    pub target: &'a Target,
    /// The query without `?`, values encoded; may be empty.
    pub query: String,
    /// Fields besides `host` and what signing adds; names in lower case.
    pub fields: Vec<(&'static str, String)>,
}

/// The head to send: signed at `at` for `region`, or anonymous without
/// credentials.
///
/// # Errors
/// A field holds what HTTP does not allow there (a content type or entity tag
/// with control characters).
pub fn sign(
    unsigned: &Unsigned<'_>,
    credentials: Option<&Credentials>,
    region: &str,
    at: SystemTime,
) -> Result<RequestHead> {
    let target = match unsigned.query.as_str() {
        "" => unsigned.target.path.clone(),
        query => format!("{}?{query}", unsigned.target.path),
    };
    let mut head = RequestHead::new(unsigned.method, &target).map_err(refused)?;
    head.field("host", &unsigned.target.authority).map_err(refused)?;
    for (name, value) in &unsigned.fields {
        head.field(name, value).map_err(refused)?;
    }
    if let Some(credentials) = credentials {
        for (name, value) in signature(unsigned, &target, credentials, region, at)? {
            head.field(&name, &value).map_err(refused)?;
        }
    } else if trails(unsigned) {
        // Not only signed: it says what the body looks like.
        head.field("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            .map_err(refused)?;
    }
    Ok(head.end())
}

fn trails(unsigned: &Unsigned<'_>) -> bool {
    unsigned.fields.iter().any(|(name, _)| *name == "x-amz-trailer")
}

fn signature(
    unsigned: &Unsigned<'_>,
    target: &str,
    credentials: &Credentials,
    region: &str,
    at: SystemTime,
) -> Result<Vec<(String, String)>> {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("s3")
        .time(at)
        .settings(settings)
        .build()
        .map_err(unsignable)?
        .into();
    let body = match unsigned.method {
        Method::Put if trails(unsigned) => SignableBody::StreamingUnsignedPayloadTrailer,
        Method::Put => SignableBody::UnsignedPayload,
        Method::Get | Method::Head => SignableBody::Bytes(b""),
    };
    let authority = unsigned.target.authority.as_str();
    let fields = unsigned.fields.iter().map(|(name, value)| (*name, value.as_str()));
    let request = SignableRequest::new(
        unsigned.method.name(),
        format!("http://{authority}{target}"),
        std::iter::once(("host", authority)).chain(fields),
        body,
    )
    .map_err(unsignable)?;
    let (instructions, _) = sign_v4(request, &params).map_err(unsignable)?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn refused(fault: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Usage, "cannot write the request").because(fault)
}

fn unsignable(fault: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(
        ErrorKind::Config,
        "cannot sign the request: check the endpoint, the region and the credentials for stray \
         characters",
    )
    .because(fault)
}
