//! What the service has yet to acknowledge, in order.
//!
//! A batch goes out when it is full or the period of `-logsPeriod` is over;
//! what is no line (metrics, the barrier), and everything once the end has
//! come, goes at once. Lines of the agent are counted as they leave, stored or
//! told as dropped, for the agent keeps them until then ([`Outbox::stored`]).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use osmo_protocol::logger::ClientFrame;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Utf8Bytes;

mod backlog;

pub(crate) use backlog::Backlog;

/// Bytes of frames at most, whatever the line limit allows.
pub(crate) const BYTES_MAX: usize = 4 << 20;
/// How long a full outbox holds the agent up before it drops the oldest line.
const STALL_LIMIT: Duration = Duration::from_secs(30);
/// Frames handed out together.
const BATCH: usize = 128;
/// Frames after which an acknowledgement is asked without a pause.
const UNMARKED_MAX: u64 = 256;
/// Bytes of frames after which it is: long lines must not wait for many.
const UNMARKED_BYTES_MAX: usize = 256 << 10;

/// The queue; shared by everybody who says something and the link.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    /// There is something to send, or to acknowledge at once.
    unsent: Notify,
    /// Something was acknowledged.
    acknowledged: Notify,
    /// Lines of the agent that have left.
    stored: watch::Sender<u64>,
}

#[derive(Debug)]
struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
    lines_max: usize,
    /// Number of the first entry, counted from the beginning of time.
    first: u64,
    /// Number of the first entry that this connection has not sent.
    next: u64,
    /// For each `LOG_DONE` under way: the first entry it does not cover.
    marks: VecDeque<u64>,
    /// As the last of `marks`, or of those answered.
    marked: u64,
    /// Bytes of frames that were sent since.
    unmarked_bytes: usize,
    dropped: u64,
    /// Lines of the agent that have left.
    stored: u64,
    /// When the first unsent entry came; `None` after a loss, when it is late
    /// already.
    since: Option<Instant>,
    /// Something unsent is not to wait for others.
    urgent: bool,
    /// Dropped since the beginning of time.
    dropped_total: u64,
    /// Full for longer than the limit: hold nobody up until there is room.
    stalled: bool,
    draining: bool,
}

#[derive(Debug)]
struct Entry {
    frame: Utf8Bytes,
    metric: bool,
    relayed: bool,
}

impl Outbox {
    /// An empty outbox for `lines_max` frames.
    pub(crate) fn new(lines_max: usize) -> Self {
        Self {
            queue: Mutex::new(Queue {
                entries: VecDeque::new(),
                bytes: 0,
                lines_max: lines_max.max(1),
                first: 0,
                next: 0,
                marks: VecDeque::new(),
                marked: 0,
                unmarked_bytes: 0,
                dropped: 0,
                stored: 0,
                since: None,
                urgent: false,
                dropped_total: 0,
                stalled: false,
                draining: false,
            }),
            unsent: Notify::new(),
            acknowledged: Notify::new(),
            stored: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of the agent's lines have left: stored, or told as dropped.
    pub(crate) fn stored(&self) -> watch::Receiver<u64> {
        self.stored.subscribe()
    }

    /// Queues a frame; when there is no room the oldest ones go.
    pub(crate) fn push(&self, frame: &ClientFrame) {
        self.put(frame, false);
    }

    /// Queues a line of the agent once there is room, or after a while at the
    /// cost of the oldest ones.
    pub(crate) async fn push_patiently(&self, frame: &ClientFrame) {
        loop {
            let room = self.acknowledged.notified();
            {
                let queue = self.lock();
                if queue.stalled || !queue.is_full() {
                    break;
                }
            }
            // A full outbox is worth sending, whatever the period.
            self.unsent.notify_one();
            if timeout(STALL_LIMIT, room).await.is_err() {
                self.lock().stalled = true;
            }
        }
        self.put(frame, true);
    }

    fn put(&self, frame: &ClientFrame, relayed: bool) {
        let mut queue = self.lock();
        queue.push(frame, relayed);
        self.tell_stored(&queue);
        if queue.is_to_be_told() {
            self.unsent.notify_one();
        }
    }

    fn tell_stored(&self, queue: &Queue) {
        self.stored.send_if_modified(|told| std::mem::replace(told, queue.stored) != queue.stored);
    }

    /// Waits until a batch is full or `period` old, or something is to be
    /// sent or acknowledged at once. Cancel-safe.
    pub(crate) async fn ready(&self, period: Duration) {
        loop {
            let woken = self.unsent.notified();
            let wait = self.lock().wait(period);
            match wait {
                Some(Duration::ZERO) => return,
                Some(wait) => {
                    let _ = timeout(wait, woken).await;
                }
                None => woken.await,
            }
        }
    }

    /// The next frames to send, now taken as sent.
    pub(crate) fn batch(&self) -> Vec<Utf8Bytes> {
        self.lock().batch()
    }

    /// Sent frames that no `LOG_DONE` covers, and whether one should be sent
    /// without delay: the end is near, they are many or large, or there is no room
    /// for others before they are acknowledged.
    pub(crate) fn unmarked(&self) -> (u64, bool) {
        let queue = self.lock();
        let unmarked = queue.unmarked();
        let is_all = queue.unsent() == 0 && (queue.draining || queue.is_full());
        let many = unmarked >= UNMARKED_MAX || queue.unmarked_bytes >= UNMARKED_BYTES_MAX;
        (unmarked, is_all || many)
    }

    /// Whether this connection was sent a metric that is not acknowledged.
    pub(crate) fn has_sent_metric(&self) -> bool {
        self.lock().sent().any(|entry| entry.metric)
    }

    /// Notes that a `LOG_DONE` was sent.
    pub(crate) fn mark(&self) {
        let mut queue = self.lock();
        queue.marked = queue.next;
        queue.unmarked_bytes = 0;
        let mark = queue.marked;
        queue.marks.push_back(mark);
    }

    /// Whether a `LOG_DONE` is under way.
    pub(crate) fn is_owed(&self) -> bool {
        !self.lock().marks.is_empty()
    }

    /// Notes a `log_done`; returns how many frames were dropped since the last.
    pub(crate) fn acknowledge(&self) -> u64 {
        let mut queue = self.lock();
        let dropped = queue.acknowledge();
        self.tell_stored(&queue);
        drop(queue);
        self.acknowledged.notify_waiters();
        dropped
    }

    /// A new connection sends everything again that was not acknowledged;
    /// `suspicious` leaves out the metrics that the last one had sent, since a
    /// metric that the service refuses silences a connection for good.
    pub(crate) fn rewind(&self, suspicious: bool) {
        self.lock().rewind(suspicious);
        self.unsent.notify_one();
    }

    /// Waits until everything is acknowledged, and hurries.
    pub(crate) async fn drained(&self) {
        self.lock().draining = true;
        self.unsent.notify_one();
        loop {
            let woken = self.acknowledged.notified();
            if self.lock().entries.is_empty() {
                return;
            }
            woken.await;
        }
    }
}

impl Queue {
    fn is_full(&self) -> bool {
        self.entries.len() >= self.lines_max || self.bytes >= BYTES_MAX
    }

    fn unsent(&self) -> u64 {
        self.first + self.entries.len() as u64 - self.next
    }

    /// What this connection was sent and has not acknowledged.
    fn sent(&self) -> impl Iterator<Item = &Entry> {
        let sent = usize::try_from(self.next - self.first).unwrap_or(usize::MAX);
        self.entries.iter().take(sent)
    }

    fn unmarked(&self) -> u64 {
        self.next.saturating_sub(self.marked.max(self.first))
    }

    /// How long the first unsent entry may still wait for others; `None` when
    /// there is nothing to do.
    fn wait(&self, period: Duration) -> Option<Duration> {
        if self.unsent() == 0 {
            return (self.draining && self.unmarked() > 0).then_some(Duration::ZERO);
        }
        let at_once = self.draining || self.urgent || self.is_full();
        if at_once || self.unsent() >= BATCH as u64 {
            return Some(Duration::ZERO);
        }
        Some(self.since.map_or(Duration::ZERO, |since| period.saturating_sub(since.elapsed())))
    }

    /// Whether the link has to look: at the first of a batch, and when the
    /// batch is full.
    fn is_to_be_told(&self) -> bool {
        let unsent = self.unsent();
        unsent == 1 || unsent == BATCH as u64 || self.urgent || self.draining || self.is_full()
    }

    fn push(&mut self, frame: &ClientFrame, relayed: bool) {
        while self.is_full() {
            self.pop();
            self.dropped += 1;
            self.dropped_total += 1;
        }
        if self.unsent() == 0 {
            self.since = Some(Instant::now());
        }
        self.urgent |= !matches!(frame, ClientFrame::Line(_));
        let metric = matches!(frame, ClientFrame::Metrics(_));
        let frame = Utf8Bytes::from(frame.encode());
        self.bytes += frame.len();
        self.entries.push_back(Entry { frame, metric, relayed });
    }

    fn pop(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.frame.len();
            self.stored += u64::from(entry.relayed);
            self.first += 1;
            self.next = self.next.max(self.first);
        }
    }

    fn batch(&mut self) -> Vec<Utf8Bytes> {
        let Ok(skip) = usize::try_from(self.next - self.first) else { return Vec::new() };
        let count = (self.entries.len() - skip).min(BATCH);
        self.next += count as u64;
        self.urgent &= self.unsent() > 0;
        let frames = self.entries.range(skip..skip + count).map(|entry| entry.frame.clone());
        let frames: Vec<_> = frames.filter(|frame| !frame.is_empty()).collect();
        self.unmarked_bytes += frames.iter().map(|frame| frame.len()).sum::<usize>();
        frames
    }

    fn acknowledge(&mut self) -> u64 {
        // An answer that nobody asked for covers nothing.
        if let Some(mark) = self.marks.pop_front() {
            while self.first < mark && !self.entries.is_empty() {
                self.pop();
            }
            self.stalled = false;
        }
        std::mem::take(&mut self.dropped)
    }

    fn rewind(&mut self, suspicious: bool) {
        if suspicious {
            let sent = usize::try_from(self.next - self.first).unwrap_or(usize::MAX);
            for entry in self.entries.iter_mut().take(sent).filter(|entry| entry.metric) {
                self.bytes -= entry.frame.len();
                entry.frame = Utf8Bytes::default();
            }
        }
        self.next = self.first;
        self.marked = self.first;
        self.unmarked_bytes = 0;
        self.marks.clear();
        self.since = None;
    }
}

#[cfg(test)]
mod tests;
