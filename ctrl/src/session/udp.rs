//! A UDP port: one pair; each message is a datagram behind its user-side source.
//!
//! Each source has a socket of its own, so that the task's answers find back.
//! A datagram that finds no room is dropped, as datagrams are.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use osmo_link::pump::Pumped;
use osmo_protocol::logger::Route;
use osmo_protocol::router::{PairKind, UdpSource};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::Shared;
use super::dial::hang_up;
use crate::meters::{Kind, Meters, OpenMeter};

/// Sources at once; the one that was quiet longest makes room.
pub(crate) const FLOWS_MAX: usize = 256;
/// A source that is quiet for so long both ways is forgotten.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
const ANSWERS_MAX: usize = 64;
const DATAGRAM_BYTES_MAX: usize = 65_507;
const PING_EVERY: Duration = Duration::from_secs(20);
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// One source.
struct Flow {
    /// The task's, which closes it at its end.
    socket: Weak<UdpSocket>,
    /// Milliseconds from the session's begin to its last datagram.
    used_ms: Arc<AtomicU64>,
    task: AbortHandle,
}

/// The sources of a session; dropping it ends them all.
struct Flows {
    port: u16,
    idle: Duration,
    begin: Instant,
    flows: HashMap<UdpSource, Flow>,
    tasks: JoinSet<()>,
    answers: mpsc::Sender<Bytes>,
    meters: Meters,
}

/// Serves to the end of the pair.
pub(super) async fn serve(shared: &Shared, route: &Route, port: u16) -> Result<(), String> {
    let mut socket = shared.dialer.control(PairKind::PortForward, route).await?;
    let (answers, mut answered) = mpsc::channel(ANSWERS_MAX);
    let meters = shared.log.meters().clone();
    let mut flows = Flows::new(port, IDLE_LIMIT, answers, meters);
    let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let sent = tokio::select! {
            message = socket.next() => {
                heard = Instant::now();
                match message {
                    Some(Ok(Message::Binary(message))) => {
                        let received = message.len().saturating_sub(UdpSource::LEN) as u64;
                        shared.count(Kind::Udp, Pumped { received, sent: 0 });
                        flows.send(&message).await;
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => {}
                }
                continue;
            }
            Some(answer) = answered.recv() => {
                let sent = (answer.len() - UdpSource::LEN) as u64;
                shared.count(Kind::Udp, Pumped { sent, received: 0 });
                timeout(SILENCE_LIMIT, socket.send(Message::Binary(answer))).await
            }
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE_LIMIT {
                    break;
                }
                timeout(SILENCE_LIMIT, socket.send(Message::Ping(Bytes::new()))).await
            }
        };
        // A peer that takes nothing for so long is gone.
        if !matches!(sent, Ok(Ok(()))) {
            break;
        }
    }
    hang_up(socket).await;
    Ok(())
}

impl Flows {
    fn new(port: u16, idle: Duration, answers: mpsc::Sender<Bytes>, meters: Meters) -> Self {
        let (flows, tasks) = (HashMap::new(), JoinSet::new());
        Self { port, idle, begin: Instant::now(), flows, tasks, answers, meters }
    }

    /// Passes a message on; a short one is ignored.
    async fn send(&mut self, message: &[u8]) {
        while self.tasks.try_join_next().is_some() {}
        let Some((source, datagram)) = UdpSource::split(message) else { return };
        if self.flows.get(&source).is_none_or(|flow| flow.task.is_finished()) {
            self.open(source).await;
        }
        if let Some(flow) = self.flows.get(&source)
            && let Some(socket) = flow.socket.upgrade()
        {
            flow.used_ms.store(since_ms(self.begin), Relaxed);
            // Nobody may listen, or the datagram is too long: as with datagrams.
            let _ = socket.send(datagram).await;
        }
    }

    async fn open(&mut self, source: UdpSource) {
        self.flows.retain(|_, flow| !flow.task.is_finished());
        if self.flows.len() >= FLOWS_MAX {
            self.evict();
        }
        let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await else { return };
        if socket.connect((Ipv4Addr::LOCALHOST, self.port)).await.is_err() {
            return;
        }
        let socket = Arc::new(socket);
        let weak = Arc::downgrade(&socket);
        let used_ms = Arc::new(AtomicU64::new(since_ms(self.begin)));
        let answers = Answers {
            source,
            socket,
            used_ms: Arc::clone(&used_ms),
            begin: self.begin,
            idle: self.idle,
            answers: self.answers.clone(),
            _open: self.meters.connection(Kind::Udp),
        };
        let task = self.tasks.spawn(answers.relay());
        self.flows.insert(source, Flow { socket: weak, used_ms, task });
    }

    fn evict(&mut self) {
        let quiet = self.flows.iter().min_by_key(|(_, flow)| flow.used_ms.load(Relaxed));
        if let Some(flow) = quiet.map(|(source, _)| *source).and_then(|key| self.flows.remove(&key))
        {
            flow.task.abort();
        }
    }
}

/// The way back of one source.
struct Answers {
    source: UdpSource,
    socket: Arc<UdpSocket>,
    used_ms: Arc<AtomicU64>,
    begin: Instant,
    idle: Duration,
    answers: mpsc::Sender<Bytes>,
    _open: OpenMeter,
}

impl Answers {
    async fn relay(self) {
        loop {
            let used = Duration::from_millis(self.used_ms.load(Relaxed));
            let quiet = self.begin.elapsed().saturating_sub(used);
            let Some(left) = self.idle.checked_sub(quiet).filter(|left| !left.is_zero()) else {
                return;
            };
            if timeout(left, self.socket.readable()).await.is_ok()
                && let Some(message) = self.receive()
            {
                self.used_ms.store(since_ms(self.begin), Relaxed);
                let _ = self.answers.try_send(message);
            }
        }
    }

    /// What is there; quiet sources hold no buffer. An error is "nobody
    /// listens", told once for each datagram.
    fn receive(&self) -> Option<Bytes> {
        let mut buffer = vec![0; UdpSource::LEN + DATAGRAM_BYTES_MAX];
        let (head, datagram) = buffer.split_at_mut(UdpSource::LEN);
        head.copy_from_slice(&self.source.encode());
        let count = self.socket.try_recv(datagram).ok()?;
        Some(Bytes::copy_from_slice(&buffer[..UdpSource::LEN + count]))
    }
}

fn since_ms(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::net::UdpSocket;
    use tokio::sync::mpsc;

    use super::{FLOWS_MAX, Flows};
    use crate::meters::{Kind, Meters};

    #[tokio::test]
    async fn sources_are_bounded_and_quiet_ones_are_forgotten() {
        let task = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (answers, mut answered) = mpsc::channel(4);
        let port = task.local_addr().unwrap().port();
        let meters = Meters::new();
        let mut flows = Flows::new(port, Duration::from_millis(500), answers, meters.clone());
        let mut buffer = [0; 16];
        for number in 0..=u8::MAX {
            flows.send(&[10, 0, 0, number, 0x1f, 0x90, b'x']).await;
            // At once: the socket does not hold as many datagrams.
            assert_eq!(task.recv_from(&mut buffer).await.unwrap().0, 1);
        }
        flows.send(&[10, 0, 1, 0, 0x1f, 0x90, b'y']).await;
        flows.send(&[10, 0, 1, 0, 0]).await;
        assert_eq!(flows.flows.len(), FLOWS_MAX);
        assert_eq!(meters.connections(Kind::Udp).1, FLOWS_MAX as u64 + 1);
        let (count, from) = task.recv_from(&mut buffer).await.unwrap();
        assert_eq!((count, buffer[0]), (1, b'y'));
        task.send_to(b"answer", from).await.unwrap();
        assert_eq!(&answered.recv().await.unwrap()[..], b"\x0a\x00\x01\x00\x1f\x90answer");
        while flows.tasks.join_next().await.is_some() {}
        assert_eq!(meters.connections(Kind::Udp).0, 0);
        // Their sockets are closed: the port is to be had again.
        UdpSocket::bind(from).await.unwrap();
        flows.send(&[10, 0, 2, 0, 0x1f, 0x90, b'z']).await;
        assert_eq!(flows.flows.len(), 1);
    }
}
