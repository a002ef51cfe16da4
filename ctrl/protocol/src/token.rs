//! The token call: a long-lived refresh token buys a short-lived one, which
//! every WebSocket dial must show.
//!
//! An answer is read whole ([`TokenAnswer::read`]), because the service tells
//! the end of a task in two places: `error` at the top, or inside `detail`.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// Characters of a refresh token; a trailing newline makes it invalid.
pub const REFRESH_TOKEN_LEN: usize = 43;

/// Where to send the call.
pub const REFRESH_PATH: &str = "/api/auth/jwt/refresh_token";

/// The body of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRequest {
    /// The refresh token, exactly as it was handed over.
    pub token: String,
}

/// What the service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenAnswer {
    /// A token and the second (Unix time) at which it ends.
    Granted {
        /// Shown as `Authorization: Bearer …`.
        token: String,
        /// Unix seconds.
        expires_at: i64,
    },
    /// The task has ended: no token will ever come.
    Finished,
    /// The task has not been started yet: ask again later.
    Pending,
    /// The service does not accept the refresh token or the names; the text is
    /// its own sentence.
    Refused(String),
    /// The answer makes no sense: try again, it may be a proxy that is ill.
    Unclear(String),
}

#[derive(Deserialize)]
struct Body {
    token: Option<String>,
    expires_at: Option<i64>,
    error: Option<String>,
    message: Option<String>,
    detail: Option<serde_json::Value>,
}

impl TokenAnswer {
    /// Reads a whole response.
    pub fn read(status: u16, body: &[u8]) -> Self {
        let Ok(parsed) = serde_json::from_slice::<Body>(body) else {
            return Self::Unclear(format!("status {status} with a body that is not JSON"));
        };
        let nested =
            parsed.detail.as_ref().and_then(|d| d.get("error")).and_then(|error| error.as_str());
        match parsed.error.as_deref().or(nested) {
            Some("FINISHED") => return Self::Finished,
            Some("PENDING") => return Self::Pending,
            Some(other) => return Self::Refused(other.to_owned()),
            None => {}
        }
        match (status, parsed.token, parsed.expires_at) {
            (200, Some(token), Some(expires_at)) if !token.is_empty() => {
                Self::Granted { token, expires_at }
            }
            // These speak of the moment, not of the token.
            (408 | 425 | 429, ..) => Self::Unclear(format!("status {status}")),
            (400..=499, ..) => Self::Refused(
                parsed
                    .message
                    .or_else(|| parsed.detail.map(|detail| detail.to_string()))
                    .unwrap_or_else(|| format!("status {status}")),
            ),
            _ => Self::Unclear(format!("status {status} without a token")),
        }
    }
}

/// Path and query of the call.
pub fn refresh_path(workflow: &str, group: &str, task: &str, retry: u32) -> String {
    let quote = |text| utf8_percent_encode(text, QUERY);
    format!(
        "{REFRESH_PATH}?group_name={}&retry_id={retry}&task_name={}&workflow_id={}",
        quote(group),
        quote(task),
        quote(workflow)
    )
}

/// Everything but the unreserved characters of RFC 3986.
pub(crate) const QUERY: &percent_encoding::AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
