//! Calls and dials in the user's name.

mod words;

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
use words::cookie_of;

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
