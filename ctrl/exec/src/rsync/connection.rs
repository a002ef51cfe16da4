//! One connection and its rsync.

use std::ffi::OsString;
use std::io::PipeWriter;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use osmo_protocol::socket::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};

use super::config::Config;
use super::modules::Modules;
use super::pace::{self, Pace};
use super::words::{self, Words};
use super::{CONNECTIONS_MAX, confine};
use crate::reaper::{End, Leftovers, Reaper, Tied};

/// How long a refused client may take to read why.
const REFUSAL_LIMIT: Duration = Duration::from_secs(2);

/// What every connection needs.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) stage: Vec<OsString>,
    pub(super) reaper: Reaper,
    pub(super) program: PathBuf,
    pub(super) config: Config,
    pub(super) modules: Modules,
    pub(super) words: Arc<Words>,
    pub(super) read: Pace,
    pub(super) write: Pace,
}

impl Server {
    fn is_paced(&self) -> bool {
        self.read.is_limited() || self.write.is_limited()
    }

    /// Starts an rsync on `socket`, which ends with the first value.
    fn spawn(&self, socket: OwnedFd, log: PipeWriter) -> std::io::Result<(Tied, End)> {
        let mut command = confine::command(&self.stage, &self.modules, self.config.path());
        let mut config = OsString::from("--config=");
        config.push(self.config.path());
        command
            .arg(&self.program)
            .args(["--daemon", "--no-detach"])
            .arg(config)
            .stdin(Stdio::from(socket))
            .stdout(Stdio::null())
            .stderr(log);
        let (_, process, end) = self.reaper.spawn(&mut command, Leftovers::End)?;
        Ok((Tied(process), end))
    }
}

/// Serves `stream` until its rsync has ended or the daemon stops.
pub(super) async fn serve(
    server: Arc<Server>,
    stream: TcpStream,
    frames: mpsc::Sender<Frame>,
    mut stopped: watch::Receiver<bool>,
) {
    let (log, told) = match words::pipe(Arc::clone(&server.words), frames.clone()) {
        Ok((log, told)) => (log, told),
        Err(error) => {
            let line = format!("rsync: cannot serve a connection: {error}");
            let _ = frames.try_send(Frame::MessageOps(line));
            return;
        }
    };
    let ended = tokio::select! {
        ended = talk(&server, stream, log, stopped.clone()) => ended,
        // The other arm ends its rsync by itself; this bounds a stuck one.
        () = overdue(&mut stopped) => Ok(()),
    };
    if let Err(error) = ended {
        let line = format!("rsync: cannot serve a connection: {error}");
        let _ = frames.try_send(Frame::MessageOps(line));
    }
    // The last words are the ones that matter.
    let abort = told.abort_handle();
    if tokio::time::timeout(REFUSAL_LIMIT, told).await.is_err() {
        abort.abort();
    }
}

async fn overdue(stopped: &mut watch::Receiver<bool>) {
    asked(stopped).await;
    tokio::time::sleep(REFUSAL_LIMIT).await;
}

/// Returns when the daemon is to stop, or nobody can say so any more.
pub(super) async fn asked(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn talk(
    server: &Server,
    stream: TcpStream,
    log: PipeWriter,
    mut stopped: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let paced = match server.is_paced() {
        true => Some(std::os::unix::net::UnixStream::pair()?),
        false => None,
    };
    let Some((ours, theirs)) = paced else {
        let socket = stream.into_std()?;
        socket.set_nonblocking(false)?;
        let (rsync, mut end) = server.spawn(socket.into(), log)?;
        tokio::select! {
            _ = end.wait() => return Ok(()),
            () = asked(&mut stopped) => {}
        }
        return over(rsync, end).await;
    };
    ours.set_nonblocking(true)?;
    let (rsync, end) = server.spawn(theirs.into(), log)?;
    tokio::select! {
        () = pump(server, stream, UnixStream::from_std(ours)?) => {}
        () = asked(&mut stopped) => {}
    }
    over(rsync, end).await
}

/// Ends the connection's group and waits until it is gone.
async fn over(rsync: Tied, mut end: End) -> std::io::Result<()> {
    drop(rsync);
    end.wait().await;
    Ok(())
}

/// Moves bytes at the two rates until rsync has said all, or a side is gone.
async fn pump(server: &Server, client: TcpStream, rsync: UnixStream) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_rsync, mut to_rsync) = rsync.into_split();
    let upward = async {
        let moved = pace::copy(&mut from_client, &mut to_rsync, &server.read).await;
        let _ = to_rsync.shutdown().await;
        // A client that has only finished sending still wants the answer.
        if moved.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let downward = async {
        let _ = pace::copy(&mut from_rsync, &mut to_client, &server.write).await;
        let _ = to_client.shutdown().await;
    };
    tokio::select! {
        () = upward => {}
        () = downward => {}
    }
}

/// Tells one client too many why it is not served, in its own protocol.
pub(super) async fn refuse(mut stream: TcpStream) {
    let words = format!(
        "@RSYNCD: 27\n@ERROR: max connections ({CONNECTIONS_MAX}) reached -- try again later\n"
    );
    let told = async {
        let _ = stream.write_all(words.as_bytes()).await;
        let _ = stream.shutdown().await;
        // Closed with unread bytes, the words might be lost on the way.
        let mut rest = [0; 512];
        while matches!(stream.read(&mut rest).await, Ok(1..)) {}
    };
    let _ = tokio::time::timeout(REFUSAL_LIMIT, told).await;
}
