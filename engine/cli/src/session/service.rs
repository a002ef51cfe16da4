//! Calls and dials in the user's name.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use osmo_link::{LinkError, MESSAGE_BYTES_MAX, Network, Place, Socket, Trust};
use osmo_protocol::logger::Route;
use osmo_protocol::router::{PairKind, Side, pair_path};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::flags::ServiceFlags;
use super::login::Account;
use super::trouble::Trouble;

/// For a whole call.
pub(crate) const REQUEST_WAIT: Duration = Duration::from_secs(60);

const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A part of a path or query, quoted.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, QUOTED).to_string()
}

/// The service, and who we are to it.
pub(crate) struct Service {
    pub(super) network: Network,
    pub(super) place: Place,
    /// What precedes every path.
    pub(super) prefix: String,
    account: Mutex<Account>,
    /// URL and login file, for sentences.
    whence: String,
}

impl Service {
    pub(crate) fn open(flags: &ServiceFlags) -> Result<Self, Trouble> {
        let account = Account::find(flags.login.as_deref())?;
        let trust = Trust { ca_file: flags.ca_bundle.clone(), verify: !flags.insecure };
        let network = Network::open(trust).map_err(|error| Trouble::Local(error.to_string()))?;
        let url = account.login.url.trim_end_matches('/');
        let place = Place::parse(url)
            .map_err(|error| Trouble::Login(format!("{}: {error}", account.path.display())))?;
        let prefix = url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default();
        let whence = format!("{url} (login: {})", account.path.display());
        Ok(Self { network, place, prefix, account: Mutex::new(account), whence })
    }

    /// Headers with a live token; `refused` is one that the service did not
    /// take although it looks alive.
    pub(super) async fn headers(&self, refused: Option<&HeaderMap>) -> Result<HeaderMap, Trouble> {
        let mut account = self.account.lock().await;
        let headers = account.headers()?;
        let same = refused.is_some_and(|refused| {
            refused.get(header::AUTHORIZATION) == headers.get(header::AUTHORIZATION)
        });
        if !same && !account.is_over() {
            return Ok(headers);
        }
        account.renew(&self.network).await?;
        account.headers()
    }

    /// Calls `path` and gives the answer of a success.
    pub(crate) async fn ask(&self, method: &Method, path: &str) -> Result<Value, Trouble> {
        let mut headers = self.headers(None).await?;
        let mut answer = self.call(method, path, headers.clone()).await?;
        if matches!(answer.status().as_u16(), 401 | 403)
            && headers.contains_key(header::AUTHORIZATION)
        {
            headers = self.headers(Some(&headers)).await?;
            answer = self.call(method, path, headers).await?;
        }
        let (status, body) = (answer.status().as_u16(), answer.body());
        if status != 200 {
            return Err(self.refusal(status, body));
        }
        serde_json::from_slice(body).map_err(|_| {
            Trouble::Refused(format!("{} answered something that is not JSON", self.whence))
        })
    }

    async fn call(
        &self,
        method: &Method,
        path: &str,
        headers: HeaderMap,
    ) -> Result<Response<Bytes>, Trouble> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(Bytes::new())
            .map_err(|_| Trouble::Usage(format!("{path:?} is no path")))?;
        *request.headers_mut() = headers;
        match timeout(REQUEST_WAIT, self.network.call(&self.place, request)).await {
            Ok(answer) => answer.map_err(|error| self.unreached(&error)),
            Err(_) => Err(self.silent()),
        }
    }

    pub(super) fn silent(&self) -> Trouble {
        let seconds = REQUEST_WAIT.as_secs();
        Trouble::Transient(format!("no answer from {} within {seconds} s", self.whence))
    }

    pub(super) fn unreached(&self, error: &LinkError) -> Trouble {
        let sentence = format!("cannot reach the service at {}: {error}", self.whence);
        match error {
            LinkError::Address(_) => Trouble::Refused(sentence),
            _ => Trouble::Transient(sentence),
        }
    }

    /// What an answer that is no success means.
    pub(super) fn refusal(&self, status: u16, body: &[u8]) -> Trouble {
        let said = sentence(body);
        match status {
            401 | 403 => Trouble::Login(format!(
                "{} does not let you do this ({status}{}{said}); log in again, or ask for the right",
                self.whence,
                if said.is_empty() { "" } else { ": " }
            )),
            425 => Trouble::NotYet(said),
            429 | 500..=599 => {
                Trouble::Transient(format!("{} answered {status}: {said}", self.whence))
            }
            404 if said == "Not Found" => Trouble::Refused(format!(
                "{} does not know this call (404): is it an OSMO service, of this time?",
                self.whence
            )),
            404 | 410 => Trouble::Refused(format!("{said} It has ended, or is not there.")),
            _ => Trouble::Refused(if said.is_empty() {
                format!("{} answered {status}", self.whence)
            } else {
                said
            }),
        }
    }

    /// Dials the client's side of a pair.
    pub(crate) async fn dial(
        &self,
        kind: PairKind,
        workflow: &str,
        route: &Route,
        wait: Duration,
    ) -> Result<Socket, Trouble> {
        let place = Place::parse(&route.router_address)?;
        let path = pair_path(kind, workflow, Side::Client, &route.key);
        let path = format!("{path}?timeout={}", wait.as_secs());
        let mut headers = self.headers(None).await?;
        let first = self.websocket(&place, &path, &headers, &route.cookie, wait).await;
        match first {
            Err(LinkError::Refused { status: 401 | 403, .. }) => {
                headers = self.headers(Some(&headers)).await?;
                Ok(self.websocket(&place, &path, &headers, &route.cookie, wait).await?)
            }
            other => Ok(other?),
        }
    }

    async fn websocket(
        &self,
        place: &Place,
        path: &str,
        headers: &HeaderMap,
        cookie: &str,
        wait: Duration,
    ) -> Result<Socket, LinkError> {
        let mut headers = headers.clone();
        if let Some(cookie) = Some(cookie).filter(|cookie| !cookie.is_empty()) {
            let value = HeaderValue::from_str(cookie)
                .map_err(|_| LinkError::Address("the service gave a cookie that is none".into()))?;
            headers.insert(header::COOKIE, value);
        }
        let dial = self.network.websocket(place, path, headers, MESSAGE_BYTES_MAX);
        match timeout(wait, dial).await {
            Ok(socket) => socket,
            Err(_) => Err(LinkError::Silent { place: place.authority(), seconds: wait.as_secs() }),
        }
    }

    /// A cookie that leads both sides of a new pair to one router.
    pub(crate) async fn cookie(
        &self,
        router_address: &str,
        wait: Duration,
    ) -> Result<String, Trouble> {
        let place = Place::parse(router_address)?;
        let mut request = Request::get("/api/router/version")
            .body(Bytes::new())
            .map_err(|error| Trouble::Refused(error.to_string()))?;
        *request.headers_mut() = self.headers(None).await?;
        let answer = timeout(wait, self.network.call(&place, request))
            .await
            .map_err(|_| Trouble::Transient(format!("{}: no answer", place.authority())))??;
        let set = answer.headers().get_all(header::SET_COOKIE);
        let cookies: Vec<_> =
            set.iter().filter_map(|set| set.to_str().ok()).map(cookie_of).collect();
        Ok(cookies.join(", "))
    }
}

/// As OSMO's own command line writes it: name, path, same-site, secure.
fn cookie_of(set: &str) -> String {
    let mut parts = set.split(';').map(str::trim);
    let mut cookie = parts.next().unwrap_or_default().to_owned();
    let rest: Vec<&str> = parts.collect();
    let named = |name: &str| {
        rest.iter()
            .find(|part| part.split('=').next().is_some_and(|key| key.eq_ignore_ascii_case(name)))
    };
    let value = |part: &&str| part.split_once('=').map(|(_, value)| value.to_owned());
    cookie.push_str(&format!(
        "; Path={}",
        named("path").and_then(value).unwrap_or_else(|| "/".into())
    ));
    if let Some(same) = named("samesite").and_then(value) {
        cookie.push_str(&format!("; SameSite={same}"));
    }
    if named("secure").is_some() {
        cookie.push_str("; Secure");
    }
    cookie
}

/// What an error's body says to people.
fn sentence(body: &[u8]) -> String {
    const SENTENCE_CHARS_MAX: usize = 500;
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let said = parsed.as_ref().and_then(|body| body.get("message").or_else(|| body.get("detail")));
    let said = match said {
        Some(Value::String(said)) => said.clone(),
        Some(other) => other.to_string(),
        None => String::from_utf8_lossy(&body[..body.len().min(SENTENCE_CHARS_MAX)]).into_owned(),
    };
    let printable = |c: &char| !c.is_control();
    said.trim().chars().filter(printable).take(SENTENCE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::{cookie_of, sentence};

    // The cookie of the recording of an rsync pair.
    #[test]
    fn a_cookie_is_written_as_osmo_writes_it() {
        let set = r#"_osmo_router_affinity="1758d1c8a4c6b1e2"; Max-Age=60; Path=/; HttpOnly; SameSite=Strict; Secure"#;
        let cookie = r#"_osmo_router_affinity="1758d1c8a4c6b1e2"; Path=/; SameSite=Strict; Secure"#;
        assert_eq!(cookie_of(set), cookie);
        assert_eq!(cookie_of("a=b"), "a=b; Path=/");
    }

    #[test]
    fn an_error_s_body_becomes_a_sentence() {
        assert_eq!(sentence(br#"{"message":"No.","error_code":"USER"}"#), "No.");
        assert_eq!(sentence(br#"{"detail":"Not Found"}"#), "Not Found");
        assert_eq!(sentence(b"upstream \x1b[2Jgone\n"), "upstream [2Jgone");
        assert_eq!(sentence(&[b'x'; 4096]).len(), 500);
    }
}
