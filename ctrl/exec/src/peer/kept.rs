//! What is told the sidecar: frames that wait, and lines that it has but did
//! not store yet.
//!
//! ```text
//!   push ─► unsent ─ batch ─► unstored ─ stored(n) ─► gone
//!              ▲                 │
//!              └─ begin_again ───┘   (a sidecar that was started again)
//! ```
//!
//! Lines stay in order. A sidecar that never tells what it stored gets its
//! lines once: they are counted as `forgotten` instead of kept.

use std::collections::VecDeque;

use osmo_protocol::socket::Frame;

/// Lines kept at most.
pub const LINES_MAX: usize = 8192;
/// Their bytes at most, but for the last one.
pub const BYTES_MAX: usize = 1 << 20;

/// The frames of the main connection.
#[derive(Debug)]
pub(super) struct Kept {
    unsent: VecDeque<Frame>,
    unstored: VecDeque<Frame>,
    /// Bytes of the lines in both.
    bytes: usize,
    /// Lines of this connection that were sent and not kept.
    forgotten: u64,
    /// Lines of this connection that the sidecar told to be stored.
    stored: u64,
    keeps: bool,
    acknowledges: bool,
    /// The command's end, which every connection is told.
    end: Option<Frame>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            unsent: VecDeque::new(),
            unstored: VecDeque::new(),
            bytes: 0,
            forgotten: 0,
            stored: 0,
            keeps: true,
            acknowledges: false,
            end: None,
        }
    }
}

impl Kept {
    pub(super) fn push(&mut self, frame: Frame) {
        if matches!(frame, Frame::ExecFinished | Frame::ExecFailed { .. }) {
            self.end = Some(frame.clone());
        }
        self.bytes += line_bytes(&frame).unwrap_or(0);
        self.unsent.push_back(frame);
    }

    /// Before everything that is not sent.
    pub(super) fn push_first(&mut self, line: Frame) {
        self.bytes += line_bytes(&line).unwrap_or(0);
        self.unsent.push_front(line);
    }

    pub(super) fn is_full(&self) -> bool {
        self.unsent.len() + self.unstored.len() >= LINES_MAX || self.bytes >= BYTES_MAX
    }

    pub(super) fn is_sent(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Nothing has to be waited for: the sidecar stored all, or never says so.
    pub(super) fn is_settled(&self) -> bool {
        self.is_sent() && (self.unstored.is_empty() || !self.acknowledges)
    }

    pub(super) fn has_end(&self) -> bool {
        self.end.is_some()
    }

    /// Lines are kept, for a sidecar that never told whether it stores them.
    pub(super) fn may_forget(&self) -> bool {
        self.keeps && !self.acknowledges
    }

    /// Takes up to about `bytes_max` of what is to be sent.
    pub(super) fn batch(&mut self, bytes_max: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < bytes_max {
            let Some(frame) = self.unsent.pop_front() else { break };
            bytes.extend(frame.encode());
            match line_bytes(&frame) {
                Some(_) if self.keeps => self.unstored.push_back(frame),
                Some(line) => {
                    self.bytes -= line;
                    self.forgotten += 1;
                }
                None => {}
            }
        }
        bytes
    }

    /// The sidecar stored `lines` of this connection; whether that made room. What
    /// it drops counts as stored as well, and is what was not kept here any more.
    pub(super) fn stored(&mut self, lines: u64) -> bool {
        (self.acknowledges, self.keeps) = (true, true);
        let sent = self.stored + self.forgotten + self.unstored.len() as u64;
        let mut fresh = lines.min(sent).saturating_sub(self.stored);
        self.stored += fresh;
        let forgotten = fresh.min(self.forgotten);
        self.forgotten -= forgotten;
        fresh -= forgotten;
        let made_room = fresh > 0;
        for _ in 0..fresh {
            let line = self.unstored.pop_front();
            self.bytes -= line.as_ref().and_then(line_bytes).unwrap_or(0);
        }
        made_room
    }

    /// Keeps no sent lines until the sidecar tells that it stores them.
    pub(super) fn forget(&mut self) {
        self.keeps = false;
        self.forgotten += self.unstored.len() as u64;
        for line in self.unstored.drain(..) {
            self.bytes -= line_bytes(&line).unwrap_or(0);
        }
    }

    /// A new connection: it gets every line that is not stored, and the end.
    /// The rest was for the sidecar that is gone.
    pub(super) fn begin_again(&mut self) {
        let mut unsent = std::mem::take(&mut self.unstored);
        unsent.extend(self.unsent.drain(..).filter(|frame| line_bytes(frame).is_some()));
        unsent.extend(self.end.clone());
        self.unsent = unsent;
        (self.forgotten, self.stored) = (0, 0);
        (self.keeps, self.acknowledges) = (true, false);
    }

    /// Takes the oldest line out while there is a sidecar, which may have been sent
    /// it and still tell that it is stored.
    pub(super) fn spill_beside(&mut self) -> Option<Frame> {
        let line = match self.unstored.pop_front() {
            Some(line) => {
                self.forgotten += 1;
                line
            }
            // What is no line is still to be told.
            None => {
                let at = self.unsent.iter().position(|frame| line_bytes(frame).is_some())?;
                self.unsent.remove(at)?
            }
        };
        self.bytes -= line_bytes(&line).unwrap_or(0);
        Some(line)
    }

    /// Takes the oldest line out.
    pub(super) fn spill(&mut self) -> Option<Frame> {
        let line = self.unstored.pop_front().or_else(|| self.unsent.pop_front())?;
        self.bytes -= line_bytes(&line).unwrap_or(0);
        Some(line)
    }
}

/// The text's length, where `frame` is a line.
pub(super) fn line_bytes(frame: &Frame) -> Option<usize> {
    match frame {
        Frame::MessageOut(line) | Frame::MessageErr(line) | Frame::MessageOps(line) => {
            Some(line.len())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use osmo_protocol::socket::{Decoder, Frame};

    use super::{BYTES_MAX, Kept, LINES_MAX};

    fn line(number: usize) -> Frame {
        Frame::MessageOut(number.to_string())
    }

    fn sent(kept: &mut Kept) -> Vec<Frame> {
        let mut decoder = Decoder::default();
        decoder.push(&kept.batch(usize::MAX));
        std::iter::from_fn(|| decoder.frame().ok().flatten()).collect()
    }

    #[test]
    fn what_is_not_stored_is_sent_again_in_order() {
        let mut kept = Kept::default();
        (0..10).for_each(|number| kept.push(line(number)));
        assert_eq!(sent(&mut kept).len(), 10);
        kept.push(Frame::UserStopFinished);
        kept.push(line(10));
        kept.stored(4);
        kept.stored(3);
        kept.begin_again();
        assert_eq!(sent(&mut kept), (4..11).map(line).collect::<Vec<_>>());
        // Counted from the new connection's begin, and never beyond what was sent.
        kept.stored(2);
        kept.push(Frame::ExecFinished);
        kept.begin_again();
        let mut want: Vec<_> = (6..11).map(line).collect();
        want.push(Frame::ExecFinished);
        assert_eq!(sent(&mut kept), want);
        assert!(kept.is_settled());
        kept.stored(1);
        assert!(!kept.is_settled());
        kept.stored(u64::MAX);
        assert!(kept.is_settled());
        assert_eq!(kept.bytes, 0);
    }

    #[test]
    fn both_limits_are_reached() {
        let mut kept = Kept::default();
        (0..LINES_MAX - 1).for_each(|_| kept.push(line(0)));
        assert!(!kept.is_full());
        kept.push(line(0));
        sent(&mut kept);
        assert!(kept.is_full());
        kept.stored(1);
        assert!(!kept.is_full());

        let mut kept = Kept::default();
        kept.push(Frame::MessageErr("x".repeat(BYTES_MAX)));
        assert!(kept.is_full());
        assert!(kept.spill().is_some() && !kept.is_full());
    }

    #[test]
    fn a_sidecar_that_tells_nothing_is_not_waited_for() {
        let mut kept = Kept::default();
        (0..LINES_MAX).for_each(|number| kept.push(line(number)));
        sent(&mut kept);
        kept.forget();
        assert!(!kept.is_full() && kept.bytes == 0);
        (0..10).for_each(|number| kept.push(line(number)));
        sent(&mut kept);
        assert!(kept.unstored.is_empty());
        // It tells after all: from now on lines are kept.
        kept.stored(LINES_MAX as u64);
        kept.push(line(77));
        sent(&mut kept);
        kept.stored(LINES_MAX as u64 + 10);
        kept.begin_again();
        assert_eq!(sent(&mut kept), [line(77)]);
    }

    #[test]
    fn room_is_made_beside_a_sidecar_without_losing_count_or_the_end() {
        let mut kept = Kept::default();
        (0..4).for_each(|number| kept.push(line(number)));
        assert!(!kept.stored(0));
        assert_eq!(sent(&mut kept).len(), 4);
        kept.push(Frame::ExecFinished);
        kept.push(line(4));
        // What was sent first, then what was not; never the end.
        let spilled: Vec<_> = std::iter::from_fn(|| kept.spill_beside()).collect();
        assert_eq!(spilled, (0..5).map(line).collect::<Vec<_>>());
        assert_eq!(sent(&mut kept), [Frame::ExecFinished]);
        // The sidecar counts the four that it was sent.
        kept.push(line(5));
        assert_eq!(sent(&mut kept), [line(5)]);
        assert!(!kept.stored(4), "there is no more room than before");
        assert!(!kept.is_settled());
        assert!(kept.stored(5));
        assert!(kept.is_settled());
    }
}
