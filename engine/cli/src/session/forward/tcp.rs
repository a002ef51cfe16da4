//! Connections: each accepted one gets a pair of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use osmo_link::pump::{Pumped, pump};
use osmo_protocol::logger::Route;
use tokio::io::{AsyncRead, ReadBuf, join};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::tunnel::{Calls, Tunnel};
use crate::progress::say;
use crate::session::trouble::Trouble;

/// After the system had no descriptor left.
const BREATH: Duration = Duration::from_millis(100);
/// Between two lines about connections that failed.
const LINE_EVERY_MS: u64 = 10_000;

/// Accepts into `running` until its owner ends it: connections under way outlive
/// the control pair that announced them.
pub(in crate::session) async fn serve(
    tunnel: &Arc<Tunnel>,
    control: &Route,
    listener: &TcpListener,
    calls: &Calls,
    slots: &Arc<Semaphore>,
    name: &str,
    running: &mut JoinSet<()>,
) -> Trouble {
    let lines = Arc::new(Lines::new(name));
    loop {
        while running.try_join_next().is_some() {}
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
            return Trouble::Local("no more connections are taken".into());
        };
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(_) => {
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let (tunnel, control, calls) = (Arc::clone(tunnel), control.clone(), calls.clone());
        let lines = Arc::clone(&lines);
        running.spawn(async move {
            if let Err(trouble) = carry(&tunnel, &control, &calls, client, &lines).await {
                lines.say(&trouble.to_string());
            }
            drop(slot);
        });
    }
}

async fn carry(
    tunnel: &Tunnel,
    control: &Route,
    calls: &Calls,
    client: TcpStream,
    lines: &Lines,
) -> Result<(), Trouble> {
    let _ = client.set_nodelay(true);
    let socket = tunnel.connect(control, calls).await?;
    let ended = Arc::new(AtomicBool::new(false));
    let (stream, writer) = client.into_split();
    let client = join(Client { stream, ended: Arc::clone(&ended) }, writer);
    // A connection that breaks is the two programs' business.
    if let Ok(Pumped { received: 0, .. }) = pump(socket, client).await
        && !ended.load(Ordering::Relaxed)
    {
        lines.say("the task closed the connection at once; does anything listen on that port?");
    }
    Ok(())
}

/// Lines about one port, now and then.
struct Lines {
    name: String,
    begun: Instant,
    /// Milliseconds since the begin at which the next may be said.
    next_ms: AtomicU64,
}

impl Lines {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), begun: Instant::now(), next_ms: AtomicU64::new(0) }
    }

    fn say(&self, text: &str) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.next_ms.load(Ordering::Relaxed) <= now {
            self.next_ms.store(now.saturating_add(LINE_EVERY_MS), Ordering::Relaxed);
            say(&format!("osmo: {}: {text}", self.name));
        }
    }
}

/// A client's reading half that tells whether it has ended by itself.
struct Client {
    stream: OwnedReadHalf,
    ended: Arc<AtomicBool>,
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if matches!(&polled, Poll::Ready(read) if read.is_err() || buffer.filled().len() == before)
        {
            self.ended.store(true, Ordering::Relaxed);
        }
        polled
    }
}
