//! Why rsync failed, in its own words: its log is a pipe to the agent, which
//! tells what is no chatter.
//!
//! Limits: [`WORDS_MAX`] lines between two reports of the daemon's status, for
//! all connections; what is over is dropped, and so is what a sidecar that is
//! behind has no room for.

use std::ffi::OsString;
use std::io::{self, PipeWriter};
use std::os::fd::{AsFd as _, IntoRawFd as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use osmo_protocol::socket::Frame;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::lines::Lines;

/// Lines told between two reports.
const WORDS_MAX: u32 = 20;
const READ_BYTES: usize = 4 << 10;

/// How many lines may still be told.
#[derive(Debug)]
pub(super) struct Words(AtomicU32);

impl Default for Words {
    fn default() -> Self {
        Self(AtomicU32::new(WORDS_MAX))
    }
}

impl Words {
    /// A new while begins.
    pub(super) fn renew(&self) {
        self.0.store(WORDS_MAX, Relaxed);
    }

    fn take(&self) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Tells what comes, until nobody can write any more.
    async fn relay(&self, mut pipe: Receiver, frames: &mpsc::Sender<Frame>) {
        let (mut lines, mut buffer) = (Lines::default(), vec![0; READ_BYTES]);
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            for line in lines.push(&buffer[..count]) {
                if let Some(reason) = reason(&line)
                    && self.take()
                {
                    let _ = frames.try_send(Frame::MessageOps(format!("rsync: {reason}")));
                }
            }
        }
    }
}

/// A pipe for one connection; its reader ends with the last writer.
///
/// # Errors
/// No descriptors are left.
pub(super) fn pipe(
    words: Arc<Words>,
    frames: mpsc::Sender<Frame>,
) -> io::Result<(PipeWriter, JoinHandle<()>)> {
    let (from, to) = io::pipe()?;
    let from = Receiver::from_owned_fd(from.into())?;
    let task = tokio::spawn(async move { words.relay(from, &frames).await });
    Ok((to, task))
}

/// The stage's: where rsync shall log, which is the stage's standard error.
/// rsync closes that one itself, so it inherits another number of the same pipe.
/// Not `--log-file`, which holds only until a module is chosen.
pub(super) fn log_file() -> OsString {
    // Without close-on-exec.
    match rustix::io::dup(io::stderr().as_fd()) {
        Ok(fd) => format!("--dparam=log file=/proc/self/fd/{}", fd.into_raw_fd()).into(),
        Err(_) => "--dparam=log file=/dev/null".into(),
    }
}

/// What `line` of rsync's log says, if it says that something went wrong.
fn reason(line: &str) -> Option<&str> {
    // `2026/11/22 23:40:00 [4711] words`; the stage's own words have no such head.
    let words = match line.split_once("] ") {
        Some((head, words)) if head.starts_with(|c: char| c.is_ascii_digit()) => words,
        _ => line,
    };
    let words = words.trim();
    const CHATTER: [&str; 10] = [
        "connect from ",
        "rsync to ",
        "rsync on ",
        "rsync allowed access ",
        "module-list request from ",
        "building file list",
        "receiving file list",
        "sent ",
        "wrote ",
        "rsyncd version ",
    ];
    let is_chatter = words.is_empty() || CHATTER.iter().any(|begin| words.starts_with(begin));
    (!is_chatter).then(|| words.strip_prefix("rsync: ").unwrap_or(words))
}

#[cfg(test)]
mod tests {
    use super::{WORDS_MAX, Words, reason};

    // As Debian's rsync 3.2.7 and 3.5.0 write them.
    #[test]
    fn chatter_is_left_out() {
        for line in [
            "2026/11/22 23:40:00 [4711] connect from UNKNOWN (127.0.0.1)",
            "2026/11/22 23:40:00 [4711] rsync to osmo/d/ from UNKNOWN (127.0.0.1)",
            "2026/11/22 23:40:00 [4711] sent 16 bytes  received 30 bytes  total size 1",
            "2026/11/22 23:40:00 [4711] ",
        ] {
            assert_eq!(reason(line), None);
        }
        let line = "2026/11/22 23:40:00 [4711] rsync: [Receiver] mkdir \"x\" failed: [y] z (2)";
        assert_eq!(reason(line), Some("[Receiver] mkdir \"x\" failed: [y] z (2)"));
        let line = "osmo-exec: cannot start /usr/bin/rsync: [x] no";
        assert_eq!(reason(line), Some(line));
    }

    #[test]
    fn a_flood_is_cut() {
        let words = Words::default();
        let told = (0..1000).filter(|_| words.take()).count();
        assert_eq!(u32::try_from(told), Ok(WORDS_MAX));
        words.renew();
        assert!(words.take());
    }
}
