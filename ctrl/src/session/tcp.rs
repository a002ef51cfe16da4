//! A TCP port: a pair for each connection, dialled back.
//!
//! ```text
//! control ── {"key","cookie"} ──► pair key ◄─ pump ─► 127.0.0.1:port, else ::1
//! ```

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use osmo_link::pump::{Pumped, pump};
use osmo_protocol::logger::Route;
use osmo_protocol::router::{DialBack, PairKind};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::control::{Control, Form, Word};
use super::dial::{PAUSE, hang_up};
use super::{Shared, table};
use crate::local::agent::NoAnswer;
use crate::meters::Kind;

/// Attempts to connect to a task's port when the agent cannot tell about it.
const TASK_ATTEMPTS: u32 = 5;
/// How long one of them may take.
const TASK_LIMIT: Duration = Duration::from_secs(5);

/// A port of the task, and what went through it.
pub(super) struct Port {
    pub(super) number: u16,
    kind: Kind,
    router: String,
    ready: AtomicBool,
    told: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Port {
    pub(super) fn new(number: u16, kind: Kind, router: &str) -> Arc<Self> {
        Arc::new(Self {
            number,
            kind,
            router: router.to_owned(),
            ready: AtomicBool::new(false),
            told: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        })
    }

    /// The pair that `dial` names.
    pub(super) fn route(&self, dial: &DialBack) -> Route {
        let (key, cookie) = (dial.key.clone(), dial.cookie.clone());
        Route { router_address: self.router.clone(), key, cookie }
    }

    /// A line about this port, the first time.
    pub(super) fn say_once(&self, shared: &Shared, reason: &str) {
        if !self.told.swap(true, Relaxed) {
            shared.say(&format!("Port {} of the task: {reason}", self.number));
        }
    }

    /// A connection to the task. The agent knows whether somebody listens;
    /// without its word there are some attempts.
    pub(super) async fn connect(&self, shared: &Shared) -> Result<TcpStream, String> {
        if !self.ready.load(Relaxed) {
            shared.agent.probe(self.number).await.map_err(|NoAnswer(reason)| reason)?;
        }
        let max = if self.ready.load(Relaxed) { 1 } else { TASK_ATTEMPTS };
        let mut attempt = 1;
        loop {
            match connect(self.number).await {
                Ok(stream) => {
                    self.ready.store(true, Relaxed);
                    return Ok(stream);
                }
                Err(reason) if attempt >= max => {
                    self.ready.store(false, Relaxed);
                    return Err(reason);
                }
                Err(_) => sleep(PAUSE).await,
            }
            attempt += 1;
        }
    }

    /// Counts what went through.
    pub(super) fn count(&self, shared: &Shared, pumped: Pumped) {
        shared.count(self.kind, pumped);
        self.sent.fetch_add(pumped.sent, Relaxed);
        self.received.fetch_add(pumped.received, Relaxed);
    }
}

async fn connect(port: u16) -> Result<TcpStream, String> {
    let places =
        [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), (Ipv6Addr::LOCALHOST, port).into()];
    match timeout(TASK_LIMIT, TcpStream::connect(&places[..])).await {
        Ok(Ok(stream)) => {
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(format!("cannot connect: {error}")),
        Err(_) => Err(format!("no connection within {} s", TASK_LIMIT.as_secs())),
    }
}

/// Serves a port to the end of its control pair; what went through until then.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    kind: PairKind,
    route: &Route,
    number: u16,
) -> Result<Pumped, String> {
    let socket = shared.dialer.control(kind, route).await?;
    let mut control = Control::new(socket, Form::Binary);
    let meter = if kind == PairKind::Rsync { Kind::Rsync } else { Kind::Tcp };
    let port = Port::new(number, meter, &route.router_address);
    while let Some(word) = control.next().await {
        match word {
            Word::Junk(reason) => shared.say(reason),
            Word::Dial(dial) => begin(shared, &port, dial),
        }
    }
    control.hang_up().await;
    Ok(Pumped { sent: port.sent.load(Relaxed), received: port.received.load(Relaxed) })
}

fn begin(shared: &Arc<Shared>, port: &Arc<Port>, dial: DialBack) {
    let (own, port_too) = (Arc::clone(shared), Arc::clone(port));
    let route = port.route(&dial);
    if !shared.table.data(async move { forward(&own, &port_too, &dial).await }) {
        refuse(shared, port, route);
    }
}

/// Says that there is no room, and closes the pair.
pub(super) fn refuse(shared: &Arc<Shared>, port: &Port, route: Route) {
    port.say_once(
        shared,
        &format!("{} connections are open, one more is refused", table::DATA_MAX),
    );
    let shared_too = Arc::clone(shared);
    shared.table.refusal(async move { shared_too.refuse(PairKind::PortForward, &route).await });
}

async fn forward(shared: &Shared, port: &Port, dial: &DialBack) {
    let route = port.route(dial);
    let (socket, stream) = tokio::join!(shared.dialer.data(&route), port.connect(shared));
    match (socket, stream) {
        (Ok(socket), Ok(stream)) => {
            // A side that goes away is no news.
            port.count(shared, pump(socket, stream).await.unwrap_or_default());
        }
        (Ok(socket), Err(reason)) => {
            port.say_once(shared, &reason);
            hang_up(socket).await;
        }
        (Err(reason), _) => port.say_once(shared, &reason),
    }
}
