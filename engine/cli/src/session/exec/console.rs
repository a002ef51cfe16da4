//! This side's keyboard, screen and size.
//!
//! Both are moved by threads, because a terminal, a pipe and a file block in
//! different ways; the queues between are bounded.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use osmo_protocol::terminal::Size;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::{Notify, mpsc, oneshot};

use super::escape::{Escape, Typed};

/// Bytes of one read.
const CHUNK_BYTES: usize = 32 << 10;
/// Chunks on their way, each direction.
const QUEUE_CHUNKS: usize = 32;

pub(super) struct Console {
    /// Ends with stdin.
    pub(super) keys: mpsc::Receiver<Vec<u8>>,
    /// Somebody types at a terminal.
    pub(super) is_terminal: bool,
    /// Told when Enter ~ . was typed; what was typed before is in `keys`.
    pub(super) left: Arc<Notify>,
}

impl Console {
    /// With `escape`, a terminal's Enter ~ . leaves.
    pub(super) fn open(escape: bool) -> Self {
        let (typed, keys) = mpsc::channel(QUEUE_CHUNKS);
        let left = Arc::new(Notify::new());
        let is_terminal = isatty(stdin());
        let (leave, escape) = (Arc::clone(&left), (escape && is_terminal).then(Escape::new));
        std::thread::spawn(move || read(&typed, escape, &leave));
        Self { keys, is_terminal, left }
    }
}

/// Reads stdin to its end, or until somebody leaves.
fn read(typed: &mpsc::Sender<Vec<u8>>, mut escape: Option<Escape>, leave: &Notify) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let bytes = match rustix::io::read(stdin(), &mut chunk[..]) {
            Ok(count) if count > 0 => &chunk[..count],
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => {
                ready(stdin(), PollFlags::IN);
                continue;
            }
            Ok(_) | Err(_) => return,
        };
        let (keys, leaves) = match escape.as_mut().map(|escape| escape.push(bytes)) {
            Some(Typed::Leave(keys)) => (keys, true),
            Some(Typed::Keys(keys)) => (keys, false),
            None => (bytes.to_vec(), false),
        };
        let gone = !keys.is_empty() && typed.blocking_send(keys).is_err();
        if leaves {
            leave.notify_one();
        }
        if gone {
            return;
        }
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
