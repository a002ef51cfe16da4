//! A TCP port: a pair for each connection, dialled back.
//!
//! ```text
//! control ── {"key","cookie"} ──► pair key ◄─ pump ─► 127.0.0.1:port, else ::1
//! ```
//!
//! A connection has its seat from the begin of its dial. So that a router that
//! answers nobody holds few of them, [`DIALS_MAX`] of a session's connections
//! may be dialling at once, for the dial's own limit, and none once the session
//! is over; the next wait without a seat.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use osmo_link::Socket;
use osmo_link::pump::{Pumped, pump_telling};
use osmo_protocol::logger::Route;
use osmo_protocol::router::{DialBack, PairKind};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
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

/// Connections of a session whose pairs are being dialled.
const DIALS_MAX: usize = 128;
/// How long the next may wait for them.
const WAIT_LIMIT: Duration = Duration::from_secs(20);
const WAITS: &str = "too many connections wait for the router";

/// A port of the task, and what went through it.
pub(super) struct Port {
    pub(super) number: u16,
    kind: Kind,
    router: String,
    ready: AtomicBool,
    told: AtomicBool,
    /// Free places to dial in.
    dials: Arc<Semaphore>,
    /// The session is over.
    over: watch::Sender<bool>,
    sent: AtomicU64,
    received: AtomicU64,
}

/// One of the places in which a session may dial.
pub(super) struct Dialling(OwnedSemaphorePermit);

impl Port {
    pub(super) fn new(number: u16, kind: Kind, router: &str) -> Arc<Self> {
        Arc::new(Self {
            number,
            kind,
            router: router.to_owned(),
            ready: AtomicBool::new(false),
            told: AtomicBool::new(false),
            dials: Arc::new(Semaphore::new(DIALS_MAX)),
            over: watch::Sender::new(false),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        })
    }

    /// What went through so far.
    pub(super) fn moved(&self) -> Pumped {
        Pumped { sent: self.sent.load(Relaxed), received: self.received.load(Relaxed) }
    }

    /// The session is over: its connections live on, its dials do not.
    pub(super) fn end(&self) {
        self.told.store(true, Relaxed);
        self.over.send_replace(true);
    }

    /// Runs `work` for the connection that `dial` announces, or turns it away.
    pub(super) fn begin<F, W>(self: &Arc<Self>, shared: &Arc<Shared>, dial: DialBack, work: F)
    where
        F: FnOnce(Arc<Shared>, Arc<Self>, DialBack, Dialling) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        if let Ok(place) = Arc::clone(&self.dials).try_acquire_owned() {
            return self.seat(shared, dial, Dialling(place), work);
        }
        let (own, shared_too, route) = (Arc::clone(self), Arc::clone(shared), self.route(&dial));
        let waits = shared.table.waiting(async move {
            let mut over = own.over.subscribe();
            let place = tokio::select! {
                place = timeout(WAIT_LIMIT, Arc::clone(&own.dials).acquire_owned()) => place,
                _ = over.wait_for(|over| *over) => return,
            };
            match place {
                Ok(Ok(place)) => own.seat(&shared_too, dial, Dialling(place), work),
                _ => own.refuse(&shared_too, WAITS, own.route(&dial)),
            }
        });
        if !waits {
            self.refuse(shared, WAITS, route);
        }
    }

    fn seat<F, W>(self: &Arc<Self>, shared: &Arc<Shared>, dial: DialBack, place: Dialling, work: F)
    where
        F: FnOnce(Arc<Shared>, Arc<Self>, DialBack, Dialling) -> W,
        W: Future<Output = ()> + Send + 'static,
    {
        let route = self.route(&dial);
        let open = shared.log.meters().connection(self.kind);
        let work = work(Arc::clone(shared), Arc::clone(self), dial, place);
        let seated = shared.table.data(async move {
            let _open = open;
            work.await;
        });
        if !seated {
            let reason = format!("{} connections are open", table::DATA_MAX);
            self.refuse(shared, &reason, route);
        }
    }

    /// Says that there is no room, and closes the pair.
    fn refuse(&self, shared: &Arc<Shared>, reason: &str, route: Route) {
        self.say_once(shared, &format!("{reason}, one more is refused"));
        shared.turn_away(PairKind::PortForward, route);
    }

    /// Dials the pair of a connection.
    pub(super) async fn dial(
        &self,
        shared: &Shared,
        dial: &DialBack,
        place: Dialling,
    ) -> Result<Socket, String> {
        let (route, mut over) = (self.route(dial), self.over.subscribe());
        let dialled = tokio::select! {
            dialled = shared.dialer.data(&route) => dialled,
            _ = over.wait_for(|over| *over) => Err("its session is over".to_owned()),
        };
        drop(place.0);
        dialled
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

/// Serves a port to the end of its control pair.
pub(super) async fn serve(shared: &Arc<Shared>, route: &Route, number: u16) -> Result<(), String> {
    let socket = shared.dialer.control(PairKind::PortForward, route).await?;
    let port = Port::new(number, Kind::Tcp, &route.router_address);
    carry(shared, Control::new(socket, Form::Binary), &port).await;
    Ok(())
}

/// Connects whatever the control pair announces, to its end.
pub(super) async fn carry(shared: &Arc<Shared>, mut control: Control, port: &Arc<Port>) {
    while let Some(word) = control.next().await {
        match word {
            Word::Junk(reason) => shared.say(reason),
            Word::Dial(dial) => port.begin(shared, dial, forward),
        }
    }
    port.end();
    control.hang_up().await;
}

async fn forward(shared: Arc<Shared>, port: Arc<Port>, dial: DialBack, place: Dialling) {
    let connecting = port.connect(&shared);
    let (socket, stream) = tokio::join!(port.dial(&shared, &dial, place), connecting);
    match (socket, stream) {
        (Ok(socket), Ok(stream)) => {
            // A side that goes away is no news.
            let _ = pump_telling(socket, stream, &|pumped| port.count(&shared, pumped)).await;
        }
        (Ok(socket), Err(reason)) => {
            port.say_once(&shared, &reason);
            hang_up(socket).await;
        }
        (Err(reason), _) => port.say_once(&shared, &reason),
    }
}
