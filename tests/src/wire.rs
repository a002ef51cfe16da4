//! A way to a server that a test can spoil: it carries, holds back, swallows or
//! cuts what goes through it, without a word to either end.
//!
//! ```text
//!  client ──► Wire ──► server
//!         ◄──      ◄──          hold: nothing is read until `carry`
//!                               swallow: these connections carry nothing more
//!                               swallow_new: connections to come never do
//!                               cut: these connections end, no close frame
//! ```

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// What happens to connections.
#[derive(Clone, Copy, Debug)]
struct State {
    /// Connections with a smaller number carry nothing more.
    swallowed: u64,
    /// Those with a smaller number are gone.
    cut: u64,
    /// Nothing is read on any.
    held: bool,
    /// New ones carry nothing.
    deaf: bool,
    /// The next connection's number.
    next: u64,
}

/// Listens on loopback; dropping it ends every connection.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepting: AbortHandle,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Wire {
    /// Carries to `server`.
    ///
    /// # Panics
    /// Without a free port.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let begin = State { swallowed: 0, cut: 0, held: false, deaf: false, next: 0 };
        let state = watch::Sender::new(begin);
        let accepting = tokio::spawn(accept(listener, server, state.clone())).abort_handle();
        Self { address, state, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.state.borrow().next
    }

    /// Reads nothing from anybody, as a peer that is slow.
    pub fn hold(&self) {
        self.state.send_modify(|state| state.held = true);
    }

    /// Carries again what was held, and new connections.
    pub fn carry(&self) {
        self.state.send_modify(|state| (state.held, state.deaf) = (false, false));
    }

    /// The packets of the connections that are open vanish from now on.
    pub fn swallow(&self) {
        self.state.send_modify(|state| state.swallowed = state.next);
    }

    /// The packets of connections to come vanish.
    pub fn swallow_new(&self) {
        self.state.send_modify(|state| state.deaf = true);
    }

    /// Ends the connections that are open, without a close frame.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cut = state.next);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, state: watch::Sender<State>) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let mut number = 0;
                let mut deaf = false;
                state.send_modify(|state| {
                    (number, deaf) = (state.next, state.deaf);
                    state.next += 1;
                });
                running.spawn(serve(client, server, number, deaf, state.subscribe()));
            }
            Some(_) = running.join_next() => {}
        }
    }
}

async fn serve(
    client: TcpStream,
    server: SocketAddr,
    number: u64,
    deaf: bool,
    mut state: watch::Receiver<State>,
) {
    let (one, other) = (state.clone(), state.clone());
    let carry = async {
        if deaf {
            std::future::pending::<()>().await;
        }
        let Ok(server) = TcpStream::connect(server).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ((from_client, to_client), (from_server, to_server)) =
            (client.into_split(), server.into_split());
        tokio::join!(
            one_way(from_client, to_server, number, one),
            one_way(from_server, to_client, number, other),
        );
    };
    tokio::select! {
        () = carry => {}
        _ = state.wait_for(|state| number < state.cut) => {}
    }
}

/// Carries to the end of one side, which is the other's; while it must not, it
/// keeps one buffer at most.
async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: u64,
    mut state: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count) = from.read(&mut buffer).await {
        let carries = |state: &State| !state.held && number >= state.swallowed;
        if state.wait_for(carries).await.is_err() || count == 0 {
            break;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
