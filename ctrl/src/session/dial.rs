//! The backend's end of a pair.

use std::time::Duration;

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};
use osmo_link::{LinkError, MESSAGE_BYTES_MAX, Network, Place, Socket};
use osmo_protocol::logger::Route;
use osmo_protocol::router::{PairKind, Side, pair_path};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::flags::Flags;
use crate::service::link::dial::authorization;
use crate::service::token::{NoToken, Tokens};

/// For a session's own pair: its user waits for the router no longer.
const CONTROL: Patience = Patience { attempts: 10, limit: Duration::from_secs(60) };
/// For a connection of a session, which holds a seat meanwhile.
const DATA: Patience = Patience { attempts: 5, limit: Duration::from_secs(20) };
/// For turning somebody away.
const ONCE: Patience = Patience { attempts: 1, limit: DIAL_LIMIT };
/// Between two attempts.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// How long one attempt may take.
const DIAL_LIMIT: Duration = Duration::from_secs(15);
/// How long a goodbye may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// What a dial is worth.
struct Patience {
    attempts: u32,
    /// For all of them together.
    limit: Duration,
}

/// Why an attempt failed.
enum Failed {
    /// No attempt will do better.
    Final(String),
    /// The router does not take the token.
    OfToken(String),
    Again(String),
}

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
        self.patiently(kind, route, &CONTROL).await
    }

    /// The pair of a connection; its path is the same for all kinds.
    pub(crate) async fn data(&self, route: &Route) -> Result<Socket, String> {
        self.patiently(PairKind::PortForward, route, &DATA).await
    }

    /// One attempt.
    pub(crate) async fn once(&self, kind: PairKind, route: &Route) -> Result<Socket, String> {
        self.patiently(kind, route, &ONCE).await
    }

    async fn patiently(
        &self,
        kind: PairKind,
        route: &Route,
        patience: &Patience,
    ) -> Result<Socket, String> {
        let end = Instant::now() + patience.limit;
        let (mut attempt, mut tokens_refused) = (1, 0);
        loop {
            let limit = DIAL_LIMIT.min(end.saturating_duration_since(Instant::now()));
            let failed = match timeout(limit, self.attempt(kind, route)).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(failed)) => failed,
                Err(_) => Failed::Again(format!("no answer within {} s", limit.as_secs())),
            };
            let (reason, is_final) = match failed {
                Failed::Final(reason) => (reason, true),
                Failed::Again(reason) => (reason, false),
                Failed::OfToken(reason) => {
                    tokens_refused += 1;
                    // The second was fresh: the next would be refused as well.
                    (format!("it does not take the token: {reason}"), tokens_refused > 1)
                }
            };
            let is_last = attempt >= patience.attempts || Instant::now() + PAUSE >= end;
            if is_final || is_last {
                let (kind, key, max) = (kind.as_str(), &route.key, patience.attempts);
                return Err(format!(
                    "Cannot reach the router for {kind} {key}: {reason} (attempt {attempt} of {max})"
                ));
            }
            attempt += 1;
            sleep(PAUSE).await;
        }
    }

    async fn attempt(&self, kind: PairKind, route: &Route) -> Result<Socket, Failed> {
        let place = Place::parse(&route.router_address)
            .map_err(|error| Failed::Final(error.to_string()))?;
        let token = self.tokens.token().await.map_err(|none| match none {
            NoToken::Never(reason) => Failed::Final(reason),
            NoToken::NotNow(reason) => Failed::Again(reason),
        })?;
        let headers = self.headers(&token, &route.cookie).map_err(Failed::Final)?;
        let path = pair_path(kind, &self.workflow, Side::Backend, &route.key);
        match self.network.websocket(&place, &path, headers, MESSAGE_BYTES_MAX).await {
            Ok(socket) => Ok(socket),
            Err(error @ LinkError::Refused { status: 401 | 403, .. }) => {
                self.tokens.forget(&token).await;
                Err(Failed::OfToken(error.to_string()))
            }
            Err(error) => Err(Failed::Again(error.to_string())),
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
