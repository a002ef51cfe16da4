//! The backend's end of a pair.

use std::time::Duration;

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};
use osmo_link::{LinkError, MESSAGE_BYTES_MAX, Network, Place, Socket};
use osmo_protocol::logger::Route;
use osmo_protocol::router::{PairKind, Side, pair_path};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::flags::Flags;
use crate::service::link::dial::authorization;
use crate::service::token::{NoToken, Tokens};

/// Attempts for a session's own pair.
const CONTROL_ATTEMPTS: u32 = 10;
/// Attempts for a connection of a session.
const DATA_ATTEMPTS: u32 = 5;
/// Between two attempts.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// How long one attempt may take.
const DIAL_LIMIT: Duration = Duration::from_secs(15);
/// How long a goodbye may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Dials the router with a token that is valid.
pub(crate) struct Dialer {
    network: Network,
    tokens: Tokens,
    header: String,
    workflow: String,
}

impl Dialer {
    pub(crate) fn new(flags: &Flags, network: Network, tokens: Tokens) -> Self {
        let (header, workflow) = (flags.token_header.clone(), flags.workflow.clone());
        Self { network, tokens, header, workflow }
    }

    /// The pair of a session.
    pub(crate) async fn control(&self, kind: PairKind, route: &Route) -> Result<Socket, String> {
        self.patiently(kind, route, CONTROL_ATTEMPTS).await
    }

    /// The pair of a connection; its path is the same for all kinds.
    pub(crate) async fn data(&self, route: &Route) -> Result<Socket, String> {
        self.patiently(PairKind::PortForward, route, DATA_ATTEMPTS).await
    }

    /// One attempt.
    pub(crate) async fn once(&self, kind: PairKind, route: &Route) -> Result<Socket, String> {
        self.patiently(kind, route, 1).await
    }

    async fn patiently(&self, kind: PairKind, route: &Route, max: u32) -> Result<Socket, String> {
        let mut attempt = 1;
        loop {
            let (reason, is_final) = match timeout(DIAL_LIMIT, self.attempt(kind, route)).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(failed)) => failed,
                Err(_) => (format!("no answer within {} s", DIAL_LIMIT.as_secs()), false),
            };
            if is_final || attempt >= max {
                let kind = kind.as_str();
                return Err(format!(
                    "Cannot reach the router for {kind} {}: {reason} (attempt {attempt} of {max})",
                    route.key
                ));
            }
            attempt += 1;
            sleep(PAUSE).await;
        }
    }

    /// The error is a reason, and whether to try no more.
    async fn attempt(&self, kind: PairKind, route: &Route) -> Result<Socket, (String, bool)> {
        let place =
            Place::parse(&route.router_address).map_err(|error| (error.to_string(), true))?;
        let token = self.tokens.token().await.map_err(|none| match none {
            NoToken::Never(reason) => (reason, true),
            NoToken::NotNow(reason) => (reason, false),
        })?;
        let headers = self.headers(&token, &route.cookie).map_err(|reason| (reason, true))?;
        let path = pair_path(kind, &self.workflow, Side::Backend, &route.key);
        match self.network.websocket(&place, &path, headers, MESSAGE_BYTES_MAX).await {
            Ok(socket) => Ok(socket),
            Err(error) => {
                if matches!(error, LinkError::Refused { status: 401 | 403, .. }) {
                    self.tokens.forget().await;
                }
                Err((error.to_string(), false))
            }
        }
    }

    fn headers(&self, token: &str, cookie: &str) -> Result<HeaderMap, String> {
        let mut headers = authorization(&self.header, token)?;
        if !cookie.is_empty() {
            let cookie = HeaderValue::from_str(cookie)
                .map_err(|_| "the action's cookie does not fit a header".to_owned())?;
            headers.insert(COOKIE, cookie);
        }
        Ok(headers)
    }
}

/// Closes in order, within a bound.
pub(crate) async fn hang_up(mut socket: Socket) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    let _ = timeout(CLOSE_LIMIT, socket.close(Some(frame))).await;
}
