//! Standard output and error, written by a thread of its own: a log that nobody
//! reads must hold up neither pings nor a SIGTERM.
//!
//! Limits: [`BYTES_MAX`] wait; beyond, a line is dropped, and how many were is
//! said once there is room again. At the end [`flush`] waits for a bounded time.

use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::time::Duration;

/// Bytes of lines that wait at most.
const BYTES_MAX: usize = 4 << 20;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

enum Item {
    Line(Stream, String),
    /// Everything before it is written.
    Mark(std::sync::mpsc::SyncSender<()>),
}

/// The way to the thread.
struct Writer {
    items: Sender<Item>,
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
}

static WRITER: OnceLock<Writer> = OnceLock::new();

/// Starts the thread; before, and where none can be had, lines are written at
/// once.
pub(crate) fn start() {
    let (writer, items) = Writer::new();
    let thread = std::thread::Builder::new().name("log".into());
    let (ready, is_ready) = channel();
    let work = move || {
        let writer = WRITER.get_or_init(|| writer);
        drop(ready);
        writer.work(&items, write);
    };
    if thread.spawn(work).is_ok() {
        let _: Result<(), _> = is_ready.recv();
    }
}

/// Writes `line` when its turn comes.
pub(crate) fn put(stream: Stream, line: String) {
    match WRITER.get() {
        Some(writer) => writer.put(stream, line),
        None => write(stream, &line),
    }
}

/// Waits until all is written, for `limit` at most.
pub(crate) fn flush(limit: Duration) {
    let Some(writer) = WRITER.get() else { return };
    let (mark, reached) = sync_channel(1);
    if writer.items.send(Item::Mark(mark)).is_ok() {
        let _ = reached.recv_timeout(limit);
    }
}

impl Writer {
    fn new() -> (Self, Receiver<Item>) {
        let (items, queue) = channel();
        let (waiting_bytes, dropped) = (AtomicUsize::new(0), AtomicU64::new(0));
        (Self { items, waiting_bytes, dropped }, queue)
    }

    fn put(&self, stream: Stream, line: String) {
        let bytes = line.len();
        if self.waiting_bytes.fetch_add(bytes, Relaxed) >= BYTES_MAX {
            self.waiting_bytes.fetch_sub(bytes, Relaxed);
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        let _ = self.items.send(Item::Line(stream, line));
    }

    /// Writes until the process ends.
    fn work(&self, items: &Receiver<Item>, mut write: impl FnMut(Stream, &str)) {
        for item in items {
            match item {
                Item::Line(stream, line) => {
                    write(stream, &line);
                    self.waiting_bytes.fetch_sub(line.len(), Relaxed);
                }
                Item::Mark(reached) => {
                    let _ = reached.send(());
                }
            }
            let dropped = self.dropped.swap(0, Relaxed);
            if dropped > 0 {
                let text =
                    format!("osmo-ctrl: {dropped} lines were dropped: nobody reads this log");
                write(Stream::Err, &text);
            }
        }
    }
}

fn write(stream: Stream, line: &str) {
    // Nobody may be listening; the service is the one that counts.
    let _ = match stream {
        Stream::Out => writeln!(std::io::stdout().lock(), "{line}"),
        Stream::Err => writeln!(std::io::stderr().lock(), "{line}"),
    };
}

#[cfg(test)]
mod tests {
    use super::{BYTES_MAX, Stream, Writer};

    #[test]
    fn what_does_not_fit_is_counted_and_told() {
        let (writer, items) = Writer::new();
        let line = "x".repeat(1 << 20);
        for _ in 0..(BYTES_MAX >> 20) + 3 {
            writer.put(Stream::Out, line.clone());
        }
        let mut written = Vec::new();
        let Writer { items: sender, waiting_bytes, dropped } = writer;
        let (end, _) = std::sync::mpsc::channel();
        drop(sender);
        Writer { items: end, waiting_bytes, dropped }
            .work(&items, |stream, line| written.push((stream, line.len(), line.to_owned())));
        let told = written.iter().find(|(stream, ..)| *stream == Stream::Err);
        let want = "osmo-ctrl: 3 lines were dropped: nobody reads this log";
        assert_eq!(told.map(|(_, _, line)| line.as_str()), Some(want));
        assert_eq!(written.len(), (BYTES_MAX >> 20) + 1);
    }
}
