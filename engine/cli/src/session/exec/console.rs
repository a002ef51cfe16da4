//! This side's keyboard, screen and size.
//!
//! Both are moved by threads, because a terminal, a pipe and a file block in
//! different ways; the queues between are bounded.

use std::os::fd::BorrowedFd;

use osmo_protocol::terminal::Size;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::{mpsc, oneshot};

/// Bytes of one read.
const CHUNK_BYTES: usize = 32 << 10;
/// Chunks on their way, each direction.
const QUEUE_CHUNKS: usize = 8;

pub(super) struct Console {
    /// Ends with stdin.
    pub(super) keys: mpsc::Receiver<Vec<u8>>,
    /// Somebody types at a terminal.
    pub(super) is_terminal: bool,
    /// Enter ~ . leaves.
    pub(super) escape: bool,
}

impl Console {
    pub(super) fn open(escape: bool) -> Self {
        let (typed, keys) = mpsc::channel(QUEUE_CHUNKS);
        std::thread::spawn(move || {
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                match rustix::io::read(stdin(), &mut chunk[..]) {
                    Ok(0) => return,
                    Ok(count) => {
                        chunk.truncate(count);
                        if typed.blocking_send(chunk).is_err() {
                            return;
                        }
                    }
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => ready(stdin(), PollFlags::IN),
                    Err(_) => return,
                }
            }
        });
        let is_terminal = isatty(stdin());
        Self { keys, is_terminal, escape: escape && is_terminal }
    }
}

/// The screen: what is sent is written; ends when it is dropped or nobody
/// reads any more.
pub(super) struct Screen {
    pub(super) shown: mpsc::Sender<Vec<u8>>,
    pub(super) done: oneshot::Receiver<()>,
}

impl Screen {
    pub(super) fn open() -> Self {
        let (shown, mut show) = mpsc::channel::<Vec<u8>>(QUEUE_CHUNKS);
        let (finished, done) = oneshot::channel();
        std::thread::spawn(move || {
            while let Some(bytes) = show.blocking_recv() {
                if !write_all(&bytes) {
                    break;
                }
            }
            drop(show);
            let _ = finished.send(());
        });
        Self { shown, done }
    }

    /// Waits until everything is on the screen.
    pub(super) async fn finish(self) {
        drop(self.shown);
        let _ = self.done.await;
    }
}

fn write_all(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(stdout(), bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => ready(stdout(), PollFlags::OUT),
            Err(_) => return false,
        }
    }
    true
}

/// Waits for a descriptor that somebody else made non-blocking.
fn ready(fd: BorrowedFd<'_>, what: PollFlags) {
    let _ = poll(&mut [PollFd::new(&fd, what)], None);
}

/// The terminal, raw until this is dropped.
pub(super) struct Raw(Termios);

impl Raw {
    /// `None` when stdin is no terminal.
    pub(super) fn enter() -> Option<Self> {
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Not after what is still to be written: a stopped screen would hold
        // us here.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

/// The window's size, 0 × 0 where there is none.
pub(super) fn size() -> Size {
    [stdin(), stdout(), stderr()]
        .into_iter()
        .find_map(|fd| tcgetwinsize(fd).ok())
        .map(|size| Size { rows: size.ws_row, cols: size.ws_col, exit_code: false })
        .unwrap_or_default()
}
