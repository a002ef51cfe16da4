//! `osmo port-forward`: a task's ports on this machine.
//!
//! ```text
//! client ─► listener ─┬─ {key, cookie} ─► control pair ─► sidecar ─┐
//!                     └─ data pair under that key ◄──────────────► task's port
//! ```
//!
//! Each connection is a pair of its own; the control pair only announces them.
//! When it is lost, clients wait in the listener until there is a new one.
//! Datagrams share one pair, each with its client's address before it.

mod tcp;
mod tunnel;
mod udp;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use osmo_protocol::logger::Route;
use osmo_protocol::router::PairKind;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::flags::PortForward;
use super::ports::{self, PortPair};
use super::service::{Service, encode};
use super::trouble::Trouble;
use super::{asked_to_end, order};
use crate::exit::Exit;
use crate::progress::say;
pub(super) use tcp::serve;
pub(super) use tunnel::{Calls, Tunnel, announce};

/// Forwarded connections at once; more clients wait to be accepted.
pub(super) const CONNECTIONS_MAX: usize = 1_024;
/// After the control pair was lost.
const AGAIN: Duration = Duration::from_secs(5);

/// A port under way.
struct Port {
    tunnel: Arc<Tunnel>,
    /// What asks for the session anew.
    what: String,
    local: SocketAddr,
    /// `task t1:80`
    remote: String,
    slots: Arc<Semaphore>,
}

enum Bound {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

pub(crate) async fn run(flags: PortForward) -> Result<Exit, Trouble> {
    let (task, pairs) = ports::read(&flags.rest, &flags.port)?;
    let service = Arc::new(Service::open(&flags.service)?);
    raise_descriptor_limit();
    let bound = bind(flags.address, flags.udp, &pairs).await?;
    tokio::select! {
        ended = forward(&flags, service, task, &pairs, bound) => ended.map(|()| Exit::Success),
        _ = asked_to_end() => Ok(Exit::Success),
    }
}

async fn forward(
    flags: &PortForward,
    service: Arc<Service>,
    task: Option<String>,
    pairs: &[PortPair],
    bound: Vec<Bound>,
) -> Result<(), Trouble> {
    let task = order::task(&service, &flags.workflow, task).await?;
    let what = |ports: &[PortPair]| {
        let ports: Vec<_> =
            ports.iter().map(|pair| format!("task_ports={}", pair.remote)).collect();
        format!("portforward/{}?{}&use_udp={}", encode(&task), ports.join("&"), flags.udp)
    };
    let patience = Duration::from_secs(flags.wait);
    let routes: Vec<Route> =
        order::place(&service, &flags.workflow, &what(pairs), patience).await?;
    if routes.len() != pairs.len() {
        return Err(Trouble::Refused("the service's answer makes no sense: other ports".into()));
    }
    let tunnel = Arc::new(Tunnel {
        service,
        kind: PairKind::PortForward,
        workflow: flags.workflow.clone(),
        wait: Duration::from_secs(flags.connect_timeout),
    });
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut running = JoinSet::new();
    for ((pair, route), bound) in pairs.iter().zip(routes).zip(bound) {
        let local = match &bound {
            Bound::Tcp(listener) => listener.local_addr(),
            Bound::Udp(socket) => socket.local_addr(),
        };
        let port = Port {
            tunnel: Arc::clone(&tunnel),
            what: what(&[*pair]),
            local: local.map_err(|error| Trouble::Local(error.to_string()))?,
            remote: format!("task {task}:{}", pair.remote),
            slots: Arc::clone(&slots),
        };
        running.spawn(port.keep(bound, route));
    }
    // As long as one port is left.
    let mut last = None;
    while let Some(ended) = running.join_next().await {
        if let Ok(trouble) = ended {
            say(&format!("osmo: {trouble}"));
            last = Some(trouble);
        }
    }
    Err(last.unwrap_or_else(|| Trouble::Local("nothing is forwarded any more".into())))
}

impl Port {
    /// Forwards until the task is gone, and says why.
    async fn keep(self, bound: Bound, mut route: Route) -> Trouble {
        let mut told = false;
        let mut running = JoinSet::new();
        loop {
            let lost = self.attempt(&bound, &route, &mut told, &mut running).await;
            if !lost.may_pass() {
                return self.named(lost);
            }
            say(&format!("osmo: {}; again in {} s", self.named(lost), AGAIN.as_secs()));
            tokio::time::sleep(AGAIN).await;
            route = match self.order().await {
                Ok(route) => route,
                Err(trouble) => return self.named(trouble),
            };
        }
    }

    async fn attempt(
        &self,
        bound: &Bound,
        route: &Route,
        told: &mut bool,
        running: &mut JoinSet<()>,
    ) -> Trouble {
        let control = match self.tunnel.control(route).await {
            Ok(control) => control,
            Err(trouble) => return trouble,
        };
        if !std::mem::replace(told, true) {
            say(&format!("Forwarding {} -> {}", self.local, self.remote));
        }
        match bound {
            Bound::Udp(socket) => udp::relay(control, socket).await,
            Bound::Tcp(listener) => {
                let (calls, pending) = Calls::new();
                tokio::select! {
                    lost = announce(control, pending) => lost,
                    lost = serve(&self.tunnel, route, listener, &calls, &self.slots, &self.remote, running) => lost,
                }
            }
        }
    }

    /// A new session for this port, however long the service is away.
    async fn order(&self) -> Result<Route, Trouble> {
        loop {
            let placed: Result<Vec<Route>, _> =
                order::place(&self.tunnel.service, &self.tunnel.workflow, &self.what, AGAIN).await;
            match placed {
                Ok(routes) => match routes.into_iter().next() {
                    Some(route) => return Ok(route),
                    None => return Err(Trouble::Refused("the service gave no session".into())),
                },
                Err(trouble) if trouble.may_pass() => tokio::time::sleep(AGAIN).await,
                Err(trouble) => return Err(trouble),
            }
        }
    }

    fn named(&self, trouble: Trouble) -> Trouble {
        let (local, remote) = (self.local, &self.remote);
        let sentence = format!("{local} -> {remote}: {trouble}");
        if trouble.may_pass() { Trouble::Transient(sentence) } else { Trouble::Refused(sentence) }
    }
}

async fn bind(address: IpAddr, udp: bool, pairs: &[PortPair]) -> Result<Vec<Bound>, Trouble> {
    if udp && address.is_ipv6() {
        let sentence = "datagrams carry IPv4 addresses only: --udp needs an IPv4 --address";
        return Err(Trouble::Usage(sentence.into()));
    }
    let mut bound = Vec::new();
    for pair in pairs {
        let at = SocketAddr::new(address, pair.local);
        let one = if udp {
            UdpSocket::bind(at).await.map(Bound::Udp)
        } else {
            TcpListener::bind(at).await.map(Bound::Tcp)
        };
        bound.push(one.map_err(|error| {
            let other = pair.remote;
            Trouble::Local(format!(
                "cannot listen on {at}: {error}; another port is free to choose, as 0:{other}"
            ))
        })?);
    }
    Ok(bound)
}

/// Each connection takes two descriptors, and the usual limit is 1,024.
pub(super) fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}
