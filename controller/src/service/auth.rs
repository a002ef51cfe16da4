//! Tokens: signed, short-lived, shown at every dial.
//!
//! They have the shape of the real service's tokens (three dotted base64url
//! parts, `exp` and `roles` among the claims), but are signed with HMAC-SHA256
//! under a key made at start: whoever only carries them sees no difference,
//! and nobody else can verify them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whom a token speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Users' calls and the client side of the router.
    #[serde(rename = "osmo-user")]
    User,
    /// The logger and the backend side of the router.
    #[serde(rename = "osmo-ctrl")]
    Sidecar,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    roles: Vec<Role>,
    exp: f64,
}

/// The signing key and the life of what it signs.
pub(crate) struct Keys {
    secret: [u8; 64],
    life: Duration,
}

impl Keys {
    pub(crate) fn random(life: Duration) -> Self {
        let mut secret = [0; 64];
        secret[..32].copy_from_slice(&random_bytes());
        secret[32..].copy_from_slice(&random_bytes());
        Self { secret, life }
    }

    /// A token and the Unix second at which it ends.
    pub(crate) fn issue(&self, role: Role) -> (String, u64) {
        self.issue_for(role, self.life)
    }

    /// The same, for a life of its own.
    pub(crate) fn issue_for(&self, role: Role, life: Duration) -> (String, u64) {
        let ends = now() + life;
        let claims = Claims { iss: "osmo".to_owned(), roles: vec![role], exp: ends.as_secs_f64() };
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let signed = format!(
            "{}.{}",
            BASE64.encode(br#"{"alg":"HS256","typ":"JWT"}"#),
            BASE64.encode(claims)
        );
        let signature = BASE64.encode(self.mac(&signed).finalize().into_bytes());
        (format!("{signed}.{signature}"), ends.as_secs())
    }

    /// Judges the headers of a call: 401 without a live token, 403 when it
    /// speaks for somebody else.
    pub(crate) fn check(&self, headers: &HeaderMap, wanted: Role) -> Result<(), StatusCode> {
        let roles =
            bearer(headers).and_then(|token| self.verify(token)).ok_or(StatusCode::UNAUTHORIZED)?;
        if roles.contains(&wanted) { Ok(()) } else { Err(StatusCode::FORBIDDEN) }
    }

    fn verify(&self, token: &str) -> Option<Vec<Role>> {
        let (signed, signature) = token.rsplit_once('.')?;
        self.mac(signed).verify_slice(&BASE64.decode(signature).ok()?).ok()?;
        let claims = BASE64.decode(signed.split_once('.')?.1).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        (claims.exp > now().as_secs_f64()).then_some(claims.roles)
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&self.secret.into());
        mac.update(signed.as_bytes());
        mac
    }
}

/// The token of a call, in either header that a gateway takes.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION).or_else(|| headers.get("x-osmo-auth"))?;
    let value = value.to_str().ok()?;
    Some(value.strip_prefix("Bearer ").unwrap_or(value))
}

/// A refresh token: 32 random bytes in 43 characters.
pub(crate) fn refresh_token() -> String {
    BASE64.encode(random_bytes())
}

/// The system's random bytes (244 of the 256 bits are random).
fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    let (low, high) = bytes.split_at_mut(16);
    low.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    high.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    bytes
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
