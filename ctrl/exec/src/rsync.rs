//! The rsync daemon: Debian's rsync behind a listener of ours.
//!
//! ```text
//!   127.0.0.1:16000, [::1] ──accept──► connection (≤ 16)
//!        no limits: the socket itself ──────────────► stage ─► rsync --daemon
//!        limits:    ◄─ pace ─► socket pair ─────────►  (Landlock)   (inetd)
//! ```
//!
//! Where another one has the port (pods that share a network, runs on one machine),
//! the daemon takes a free one and tells which.
//!
//! Every connection has an rsync of its own, in its own process group, which
//! ends with the connection or with the daemon. The listener alone is shared,
//! and so are its two rates.
//!
//! Invariants: `UserRsyncStatus{true}` is told only once the port is bound and
//! the configuration made; `false` is the last word. rsync reaches nothing
//! but its modules where the kernel has Landlock; elsewhere its symlinks are
//! munged, so that a link never leads out of a module.
//!
//! Limits: [`CONNECTIONS_MAX`]; whoever comes later reads a sentence.

mod config;
mod confine;
mod connection;
mod modules;
mod pace;
mod words;

pub(crate) use confine::{STAGE, stage};

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use osmo_protocol::socket::Frame;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::flags::Flags;
use crate::reaper::Reaper;
use config::Config;
use connection::{Server, asked, refuse, serve};
use modules::Modules;
use pace::Pace;
use words::Words;

/// Connections served at a time.
pub(crate) const CONNECTIONS_MAX: usize = 16;
/// Refusals being told at a time; further connections are closed at once.
const REFUSALS_MAX: usize = 16;
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// A listener that cannot accept (no descriptors left) tries again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The running daemon; dropped, it ends without its last word.
#[derive(Debug)]
pub(crate) struct Daemon {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Daemon {
    /// Starts serving where the flags ask for it; what is in the way is told as
    /// a line, and the command runs without rsync.
    pub(crate) async fn start(
        flags: &Flags,
        stage: &[OsString],
        reaper: &Reaper,
        frames: mpsc::Sender<Frame>,
    ) -> Option<Self> {
        if !flags.rsync {
            return None;
        }
        let (prepared, lines) = prepare(flags, stage, reaper).await;
        for line in lines {
            let _ = frames.send(Frame::MessageOps(line)).await;
        }
        let port = prepared.as_ref().map_or(0, |(listeners, _)| listeners.port);
        let status = Frame::UserRsyncStatus { running: prepared.is_ok(), port };
        if let Err(reason) = &prepared {
            let line = format!("rsync is not available: {reason}");
            let _ = frames.send(Frame::MessageOps(line)).await;
        }
        let _ = frames.send(status).await;
        let (listeners, server) = prepared.ok()?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(listeners, Arc::new(server), frames, stopped));
        Some(Self { stop, task })
    }

    /// Ends every connection, tells so, and returns when all are gone.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

type Prepared = Result<(Listeners, Server), String>;

async fn prepare(flags: &Flags, stage: &[OsString], reaper: &Reaper) -> (Prepared, Vec<String>) {
    let mut lines = Vec::new();
    let prepared = async {
        let listeners = Listeners::bind(flags.rsync_port, &mut lines).await?;
        let program = program(&flags.user_bin)?;
        let modules = Modules::read(&flags.run, &flags.rsync_allow, &mut lines)?;
        let confined = confine::works();
        if !confined {
            lines.push("rsync: this kernel has no Landlock; symlinks are munged instead".into());
        }
        let places = [&*flags.run, &std::env::temp_dir()];
        let config = Config::write(&places, &modules.config(!confined))?;
        Ok((
            listeners,
            Server {
                stage: stage.to_vec(),
                reaper: reaper.clone(),
                program,
                config,
                modules,
                words: Arc::new(Words::default()),
                read: Pace::new(flags.rsync_read_limit),
                write: Pace::new(flags.rsync_write_limit),
            },
        ))
    };
    let prepared = prepared.await;
    (prepared, lines)
}

/// Where rsync is: the agent's folder for programs, beside the agent, `PATH`.
fn program(user_bin: &Path) -> Result<PathBuf, String> {
    let beside = std::env::current_exe().ok().and_then(|own| own.parent().map(Path::to_owned));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(user_bin.to_owned()).chain(beside);
    folders
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join("rsync"))
        .find(|file| file.is_file())
        .and_then(|file| file.canonicalize().ok())
        .ok_or_else(|| format!("no rsync in {} nor in PATH", user_bin.display()))
}

/// Both loopbacks; the second where the machine has it.
struct Listeners {
    port: u16,
    four: TcpListener,
    six: Option<TcpListener>,
}

impl Listeners {
    async fn bind(wanted: u16, lines: &mut Vec<String>) -> Result<Self, String> {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let four = match TcpListener::bind(address(wanted)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                lines.push(format!("rsync: port {wanted} is taken, another one is used"));
                TcpListener::bind(address(0)).await
            }
            other => other,
        }
        .map_err(|error| format!("cannot listen on {}: {error} (-rsyncPort)", address(wanted)))?;
        let port = four.local_addr().map_err(|error| error.to_string())?.port();
        let six = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await.ok();
        Ok(Self { port, four, six })
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let six = async {
            match &self.six {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = self.four.accept() => accepted,
            accepted = six => accepted,
        }
        .map(|(stream, _)| stream)
    }
}

async fn run(
    listeners: Listeners,
    server: Arc<Server>,
    frames: mpsc::Sender<Frame>,
    mut stopped: watch::Receiver<bool>,
) {
    let stop_here = stopped.clone();
    let (mut served, mut refused) = (JoinSet::new(), JoinSet::new());
    let mut pulse = tokio::time::interval(STATUS_EVERY);
    pulse.tick().await;
    loop {
        tokio::select! {
            () = asked(&mut stopped) => break,
            _ = pulse.tick() => {
                server.words.renew();
                // A sidecar that is behind needs no second report.
                let status = Frame::UserRsyncStatus { running: true, port: listeners.port };
                let _ = frames.try_send(status);
            }
            Some(_) = served.join_next() => {}
            Some(_) = refused.join_next() => {}
            accepted = listeners.accept() => match accepted {
                Ok(stream) if served.len() < CONNECTIONS_MAX => {
                    let (server, frames) = (Arc::clone(&server), frames.clone());
                    served.spawn(serve(server, stream, frames, stop_here.clone()));
                }
                Ok(stream) if refused.len() < REFUSALS_MAX => {
                    refused.spawn(refuse(stream));
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listeners);
    refused.shutdown().await;
    while served.join_next().await.is_some() {}
    let _ = frames.send(Frame::UserRsyncStatus { running: false, port: 0 }).await;
}
