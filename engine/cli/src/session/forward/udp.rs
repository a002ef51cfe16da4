//! Datagrams: one pair for all clients of a port, each datagram behind its
//! client's address.
//!
//! Answers go only to addresses that have sent something: else a task could
//! make this machine send datagrams to anybody.

use std::collections::{HashSet, VecDeque};
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use osmo_link::Socket;
use osmo_protocol::router::UdpSource;
use tokio::net::UdpSocket;
use tokio_tungstenite::tungstenite::Message;

use crate::session::trouble::Trouble;

const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Clients that are remembered; the oldest is forgotten for a new one.
const CLIENTS_MAX: usize = 4_096;
/// After an error of the network.
const BREATH: Duration = Duration::from_millis(10);

/// Relays until the pair ends. A datagram that finds no room is lost, as
/// datagrams are: the system's receive buffer is the queue.
pub(super) async fn relay(pair: Socket, local: &UdpSocket) -> Trouble {
    let lost = |why: &str| Trouble::Transient(format!("the connection was lost{why}"));
    let (mut to_task, mut from_task) = pair.split();
    let clients = Mutex::new(Clients::default());
    let outward = async {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            // An error here is an answer of the network to an earlier send.
            let Ok((count, SocketAddr::V4(client))) = local.recv_from(&mut buffer).await else {
                tokio::time::sleep(BREATH).await;
                continue;
            };
            clients.lock().unwrap_or_else(PoisonError::into_inner).remember(client);
            let head = UdpSource { address: *client.ip(), port: client.port() }.encode();
            let message = Message::binary([&head, &buffer[..count]].concat());
            if let Err(error) = to_task.send(message).await {
                return lost(&format!(": {error}"));
            }
        }
    };
    let inward = async {
        loop {
            let message = match from_task.next().await {
                Some(Ok(Message::Binary(message))) => message,
                Some(Ok(Message::Close(_))) | None => return lost(""),
                Some(Ok(_)) => continue,
                Some(Err(error)) => return lost(&format!(": {error}")),
            };
            let Some((client, datagram)) = UdpSource::split(&message) else { continue };
            let client = SocketAddrV4::new(client.address, client.port);
            if clients.lock().unwrap_or_else(PoisonError::into_inner).known.contains(&client) {
                let _ = local.send_to(datagram, client).await;
            }
        }
    };
    tokio::select! {
        lost = outward => lost,
        lost = inward => lost,
    }
}

#[derive(Default)]
struct Clients {
    known: HashSet<SocketAddrV4>,
    order: VecDeque<SocketAddrV4>,
}

impl Clients {
    fn remember(&mut self, client: SocketAddrV4) {
        if !self.known.insert(client) {
            return;
        }
        self.order.push_back(client);
        if self.order.len() > CLIENTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CLIENTS_MAX, Clients};
    use std::net::{Ipv4Addr, SocketAddrV4};

    #[test]
    fn the_table_of_clients_is_bounded() {
        let mut clients = Clients::default();
        let client = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        for port in 1..=5_000 {
            clients.remember(client(port));
            clients.remember(client(port));
        }
        assert_eq!((clients.known.len(), clients.order.len()), (CLIENTS_MAX, CLIENTS_MAX));
        assert!(clients.known.contains(&client(5_000)) && !clients.known.contains(&client(1)));
    }
}
