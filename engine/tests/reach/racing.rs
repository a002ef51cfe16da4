//! Several addresses, some of which do not answer.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use osmo_engine::net::dial::Dial;
use osmo_engine::net::tls::Wire;
use osmo_engine::net::{NetError, Network, Patience};
use osmo_engine::ring::Ring;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::support::{each_driver, network};

/// A connect that is not raced takes longer than the watchdog allows.
const PATIENT: Patience = Patience { connect: Duration::from_secs(60), ..Patience::DEFAULT };

fn dial(ring: &Ring, network: &Network, port: u16) -> Dial {
    Dial::new(ring.clone(), network.clone(), Wire::Plain, "store.test", port, PATIENT)
}

/// A listener whose queue is full: Linux drops further SYNs, so that a
/// connect hangs as it does where nobody is.
struct BlackHole {
    _listener: OwnedFd,
    _queued: Vec<OwnedFd>,
}

fn nonblocking() -> OwnedFd {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap()
}

impl BlackHole {
    fn at(address: SocketAddrV4) -> Self {
        let listener = nonblocking();
        rustix::net::sockopt::set_socket_reuseaddr(&listener, true).unwrap();
        rustix::net::bind(&listener, &address).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let queued = (0..8).map(|_| {
            let socket = nonblocking();
            let _ = rustix::net::connect(&socket, &address);
            socket
        });
        Self { _queued: queued.collect(), _listener: listener }
    }

    /// Sockets that still try to get in, by the kernel's own table: state 02
    /// is `SYN_SENT`.
    fn knocking(address: SocketAddrV4) -> usize {
        let ip = u32::from_ne_bytes(address.ip().octets());
        let at = format!("{ip:08X}:{:04X} 02", address.port());
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        table.lines().filter(|line| line.contains(&at)).count()
    }
}

#[test]
fn a_refused_address_gives_way_to_the_next() {
    each_driver(async |ring| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = network("::1 store.test\n127.0.0.3 store.test\n127.0.0.1 store.test", &[]);
        let reached = dial(ring, &network, port).connect().await.unwrap();
        let (_, from) = listener.accept().unwrap();
        let own = rustix::net::getsockname(reached.fd.as_fd()).unwrap();
        assert_eq!(SocketAddr::try_from(own).unwrap(), from);
    });
}

#[test]
fn a_black_hole_is_overtaken_then_tried_last() {
    each_driver(async |ring| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let hole = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), port);
        let _hole = BlackHole::at(hole);
        let before = BlackHole::knocking(hole);
        let network = network("127.0.0.2 store.test\n127.0.0.1 store.test", &[]);
        let dial = dial(ring, &network, port);
        let _first = dial.connect().await.unwrap();
        let mut order = [hole.into(), listener.local_addr().unwrap()];
        network.shunned.last(&mut order, ring.now());
        assert_eq!(order[1], SocketAddr::V4(hole), "the loser is tried last");
        // Its turn would be second, then first again.
        let _second = dial.connect().await.unwrap();
        let _third = dial.connect().await.unwrap();
        // What the ring still had to cancel is gone a moment later.
        while BlackHole::knocking(hole) > before {
            ring.sleep_until(ring.now() + Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn all_addresses_refused_names_one() {
    each_driver(async |ring| {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let all: String = (1..=16).map(|n| format!("127.0.0.{n} store.test\n")).collect();
        let fault = dial(ring, &network(&all, &[]), free.port()).connect().await.err().unwrap();
        assert!(matches!(fault, NetError::Connect { .. }), "{fault:?}");
        let error = fault.at("http://store.test");
        assert_eq!(error.kind(), osmo_engine::ErrorKind::Unreachable);
        let said = error.to_string();
        assert_eq!(said.matches("Connection refused").count(), 1, "{said}");
    });
}

#[test]
fn addresses_take_turns() {
    each_driver(async |ring| {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let others =
            [2, 3].map(|n| TcpListener::bind(SocketAddr::from(([127, 0, 0, n], port))).unwrap());
        let hosts = "127.0.0.1 store.test\n127.0.0.2 store.test\n127.0.0.3 store.test";
        let network = network(hosts, &[]);
        let dial = dial(ring, &network, port);
        for _ in 0..2 {
            for listener in std::iter::once(&first).chain(&others) {
                let _reached = dial.connect().await.unwrap();
                listener.set_nonblocking(true).unwrap();
                let accepted: std::io::Result<(TcpStream, _)> = listener.accept();
                assert!(accepted.is_ok(), "{:?}", listener.local_addr());
            }
        }
    });
}
