//! The container's own log: standard output and error, written by a thread of
//! its own, so that nobody who does not read it ever holds the agent up.
//!
//! ```text
//!   put ─► queue (bounded) ─► thread ─► stdout, stderr
//! ```
//!
//! Limits: [`LINES_MAX`] and [`BYTES_MAX`] wait; beyond, a line is dropped, and
//! how many were is said once there is room again. Whoever has many lines waits
//! for [`room`] before each, which a log that stands still grants after
//! [`STUCK`]. At the end [`flush`] waits for a bounded time.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Lines that wait at most; twice what the agent keeps for its sidecar.
const LINES_MAX: usize = 2 * crate::KEPT_LINES_MAX;
/// Their bytes at most, but for the last one.
const BYTES_MAX: usize = 2 * crate::KEPT_BYTES_MAX;
/// A log that takes no line for so long stands still.
const STUCK: Duration = Duration::from_secs(5);

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<(Stream, String)>,
    bytes: usize,
    dropped: u64,
    /// The thread writes a line that it took.
    is_writing: bool,
    /// Since when somebody waits and no line was written.
    waiting_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Log {
    queue: Mutex<Queue>,
    changed: Condvar,
    room: Notify,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Starts the thread; before, and where none can be had, lines are written at
/// once.
pub(crate) fn start() {
    let thread = std::thread::Builder::new().name("log".into());
    let (ready, is_ready) = std::sync::mpsc::channel();
    let write = move || {
        let log = LOG.get_or_init(Log::default);
        drop(ready);
        log.write();
    };
    if thread.spawn(write).is_ok() {
        let _: Result<(), _> = is_ready.recv();
    }
}

/// Writes `line`, its newline included or not, when its turn comes.
pub(crate) fn put(stream: Stream, mut line: String) {
    if !line.ends_with('\n') {
        line.push('\n');
    }
    match LOG.get() {
        Some(log) => log.put(stream, line),
        None => write(stream, &line),
    }
}

/// Waits until a line can be put without being dropped, or the log stands
/// still.
pub(crate) async fn room() {
    if let Some(log) = LOG.get() {
        log.wait_for_room().await;
    }
}

/// Waits until all is written, for `limit` at most.
pub(crate) fn flush(limit: Duration) {
    if let Some(log) = LOG.get() {
        let idle = |queue: &mut Queue| queue.is_writing || !queue.lines.is_empty();
        let _ = log.changed.wait_timeout_while(log.lock(), limit, idle);
    }
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, stream: Stream, line: String) {
        let mut queue = self.lock();
        if queue.lines.len() >= LINES_MAX || queue.bytes >= BYTES_MAX {
            queue.dropped += 1;
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back((stream, line));
        self.changed.notify_all();
    }

    async fn wait_for_room(&self) {
        loop {
            let notified = self.room.notified();
            let since = {
                let mut queue = self.lock();
                let is_half = queue.lines.len() * 2 < LINES_MAX && queue.bytes * 2 < BYTES_MAX;
                if is_half {
                    return;
                }
                let since = *queue.waiting_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= STUCK {
                    return;
                }
                since
            };
            let _ = timeout_at(since + STUCK, notified).await;
        }
    }

    fn write(&self) {
        let mut queue = self.lock();
        loop {
            let Some((stream, line)) = queue.next() else {
                self.changed.notify_all();
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            queue.is_writing = true;
            drop(queue);
            write(stream, &line);
            queue = self.lock();
            (queue.is_writing, queue.waiting_since) = (false, None);
            self.room.notify_waiters();
        }
    }
}

impl Queue {
    fn next(&mut self) -> Option<(Stream, String)> {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let line = format!("osmo-exec: {dropped} lines were dropped: nobody reads this log\n");
            return Some((Stream::Err, line));
        }
        let (stream, line) = self.lines.pop_front()?;
        self.bytes -= line.len();
        Some((stream, line))
    }
}

fn write(stream: Stream, line: &str) {
    let _ = match stream {
        Stream::Out => std::io::stdout().write_all(line.as_bytes()),
        Stream::Err => std::io::stderr().write_all(line.as_bytes()),
    };
}

#[cfg(test)]
mod tests {
    use super::{BYTES_MAX, LINES_MAX, Log, Stream};

    #[test]
    fn what_does_not_fit_is_counted() {
        for (line, fit) in [("\n".to_owned(), LINES_MAX), ("x".repeat(1 << 20), BYTES_MAX >> 20)] {
            let log = Log::default();
            (0..fit + 3).for_each(|_| log.put(Stream::Out, line.clone()));
            let mut queue = log.lock();
            assert_eq!((queue.lines.len(), queue.dropped), (fit, 3));
            let told = queue.next().map(|(_, line)| line);
            let want = "osmo-exec: 3 lines were dropped: nobody reads this log\n";
            assert_eq!(told.as_deref(), Some(want));
            while queue.next().is_some() {}
            assert_eq!(queue.bytes, 0);
        }
    }
}
