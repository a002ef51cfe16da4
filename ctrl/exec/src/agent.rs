//! The agent's life: dial, wait for the start, run, tell the end.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdout};

use nix::sys::signal::Signal;
use osmo_protocol::flags::USAGE_EXIT;
use osmo_protocol::layout;
use osmo_protocol::socket::Frame;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::command::Running;
use crate::flags::Flags;
use crate::peer::{self, FRAMES_QUEUED_MAX, Inbox};
use crate::{checkpoint, complain, dial, orphans, rsync, stream, tree};

/// Runs until the command has ended; returns the exit code.
pub(crate) async fn run(flags: &Flags, stage: &[OsString]) -> u8 {
    orphans::adopt();
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return fault(&format!("cannot listen for signals: {error}")),
    };
    let stream = tokio::select! {
        stream = dial::dial(&flags.socket, flags.dial_limit) => match stream {
            Ok(stream) => stream,
            Err(sentence) => return fault(&sentence),
        },
        signal = signals.stop.next() => return ended_by(signal),
    };
    let (reader, writer) = stream.into_split();
    let (frames, queue) = mpsc::channel(FRAMES_QUEUED_MAX);
    let writer = tokio::spawn(peer::write(writer, queue));
    let mut inbox = Inbox::new(reader);

    let _ = frames.send(Frame::Hello { token: take_token(&flags.socket), session: None }).await;
    let code = match wait_for_start(&mut inbox, &mut signals).await {
        Ok(output_folder) => {
            tree::shortcuts(&output_folder);
            let task = Task { frames: frames.clone(), inbox, signals, terminated: false };
            task.run(flags, stage, &output_folder).await
        }
        Err(code) => code,
    };
    drop(frames);
    let _ = writer.await;
    code
}

fn fault(sentence: &str) -> u8 {
    complain(sentence);
    USAGE_EXIT
}

fn ended_by(signal: Signal) -> u8 {
    u8::try_from(128 + signal as i32).unwrap_or(u8::MAX)
}

/// Reads the handoff token and deletes it: the sidecar, which answers, has read
/// it, and nothing that runs later in this container needs it.
fn take_token(socket: &Path) -> String {
    let path = layout::handoff_beside(socket);
    let token = std::fs::read_to_string(&path).unwrap_or_default();
    let _ = std::fs::remove_file(&path);
    token
}

/// The output folder, or the code to exit with.
async fn wait_for_start(inbox: &mut Inbox, signals: &mut Signals) -> Result<PathBuf, u8> {
    loop {
        let frame = tokio::select! {
            frame = inbox.next() => frame,
            signal = signals.stop.next() => return Err(ended_by(signal)),
        };
        match frame {
            Some(Frame::ExecStart { output_folder }) => return Ok(output_folder.into()),
            Some(Frame::CtrlFailed) => return Err(0),
            Some(Frame::Terminate) => return Err(ended_by(Signal::SIGTERM)),
            Some(_) => {}
            None => return Err(fault("the sidecar went away before the start")),
        }
    }
}

/// The command and everybody who talks about it.
struct Task {
    frames: mpsc::Sender<Frame>,
    inbox: Inbox,
    signals: Signals,
    /// Somebody asked for an end.
    terminated: bool,
}

impl Task {
    async fn run(mut self, flags: &Flags, stage: &[OsString], output_folder: &Path) -> u8 {
        let rsync = rsync::Daemon::start(flags, stage, self.frames.clone()).await;
        let (running, stdout, stderr) = match Running::start(flags, stage) {
            Ok(started) => started,
            Err(error) => {
                if let Some(rsync) = rsync {
                    rsync.stop().await;
                }
                self.tell(Frame::MessageErr(error.sentence)).await;
                self.tell_end(error.code, &format!("exit status {}", error.code)).await;
                return error.code;
            }
        };
        let (ended, is_ended) = watch::channel(false);
        let loops = checkpoint::Loops::start(flags, stage, self.frames.clone()).await;
        let streams = self.streams(stdout, stderr, &is_ended);
        self.until_ended(&running).await;
        let _ = ended.send(true);
        for stream in streams {
            let _ = stream.await;
        }
        // The last rounds see what the command left, and nobody writing to it.
        running.signal(Signal::SIGKILL);
        loops.finish(self.terminated, self.signals.stop.next()).await;
        if let Some(rsync) = rsync {
            rsync.stop().await;
        }
        let end = running.end();
        tree::make_readable(output_folder);
        self.tell_end(end.code, &end.sentence).await;
        end.code
    }

    fn streams(
        &self,
        stdout: ChildStdout,
        stderr: ChildStderr,
        ended: &watch::Receiver<bool>,
    ) -> [tokio::task::JoinHandle<std::io::Result<()>>; 2] {
        let relay = |pipe, frame| {
            tokio::spawn(stream::relay(pipe, frame, self.frames.clone(), ended.clone()))
        };
        [relay(stdout.into(), Frame::MessageOut), relay(stderr.into(), Frame::MessageErr)]
    }

    /// Passes signals on until the command has ended.
    async fn until_ended(&mut self, running: &Running) {
        let mut sidecar = true;
        while !running.has_ended() {
            tokio::select! {
                _ = self.signals.child.recv() => {}
                signal = self.signals.stop.next() => {
                    self.terminated = true;
                    running.signal(match signal {
                        Signal::SIGHUP => Signal::SIGKILL,
                        signal => signal,
                    });
                }
                frame = self.inbox.next(), if sidecar => match frame {
                    Some(frame) => {
                        self.terminated |= frame == Frame::Terminate;
                        self.apply(frame, running).await;
                    }
                    None => sidecar = false,
                },
            }
        }
    }

    async fn apply(&self, frame: Frame, running: &Running) {
        let wish = match frame {
            Frame::Terminate => return running.signal(Signal::SIGTERM),
            Frame::UserExecStart { .. } => "a terminal",
            Frame::UserStop | Frame::UserStart => "restart",
            _ => return,
        };
        self.tell(Frame::MessageOps(format!("{wish} is not available yet"))).await;
    }

    async fn tell(&self, frame: Frame) {
        // Fails only when the writer is gone, which outlives the task.
        let _ = self.frames.send(frame).await;
    }

    async fn tell_end(&self, code: u8, sentence: &str) {
        self.tell(match code {
            0 => Frame::ExecFinished,
            code => Frame::ExecFailed {
                message: format!("Command failed with error: {sentence}\n"),
                code: Some(code.into()),
            },
        })
        .await;
    }
}

/// The signals that mean something here.
struct Signals {
    child: tokio::signal::unix::Signal,
    stop: Stop,
}

/// The signals that ask for an end.
struct Stop {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let stop = Stop {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        };
        Ok(Self { child: signal(SignalKind::child())?, stop })
    }
}

impl Stop {
    /// The next one. Cancel-safe.
    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::SIGTERM,
            _ = self.int.recv() => Signal::SIGINT,
            _ = self.hang_up.recv() => Signal::SIGHUP,
        }
    }
}
