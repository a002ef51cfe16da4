//! When what happened on a connection: by this it is judged.

use std::time::Duration;

use tokio::time::Instant;

/// A `LOG_DONE` without an answer for this long means that nobody listens.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// After this much silence the peer is pinged; after thrice as much it is dead.
pub(super) const SILENCE: Duration = Duration::from_secs(30);

/// When what happened on a connection.
pub(super) struct Pulse {
    begin: Instant,
    pub(super) heard_at: Instant,
    sent_at: Instant,
    /// The oldest unanswered `LOG_DONE`, or the last answer.
    pub(super) asked_at: Instant,
    pub(super) pinged_at: Instant,
    owed: u32,
    answers: u64,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            begin: now,
            answers: 0,
            heard_at: now,
            sent_at: now,
            asked_at: now,
            pinged_at: now,
            owed: 0,
        }
    }

    pub(super) fn heard(&mut self) {
        self.heard_at = Instant::now();
    }

    pub(super) fn sent(&mut self) {
        self.sent_at = Instant::now();
    }

    pub(super) fn asked(&mut self) {
        if self.owed == 0 {
            self.asked_at = Instant::now();
        }
        self.owed += 1;
    }

    pub(super) fn answered(&mut self) {
        self.asked_at = Instant::now();
        self.owed = self.owed.saturating_sub(1);
        self.answers += 1;
    }

    /// Whether the service did more than accept: a connection that dies at once,
    /// or takes lines and acknowledges none, does not end an outage.
    pub(super) fn is_proven(&self) -> bool {
        self.answers > 0 || (self.owed == 0 && self.begin.elapsed() >= SILENCE)
    }

    /// Whether it acknowledged anything.
    pub(super) fn has_answered(&self) -> bool {
        self.answers > 0
    }

    pub(super) fn paused(&self, pause: Duration) -> bool {
        self.sent_at.elapsed() >= pause
    }

    /// When something must be done even if nothing happens.
    pub(super) fn due(&self, unmarked: u64, owed: bool, pause: Duration) -> Instant {
        let mut due = self.heard_at.max(self.pinged_at) + SILENCE;
        if unmarked > 0 {
            due = due.min(self.sent_at + pause);
        }
        if owed {
            due = due.min(self.asked_at + ANSWER_LIMIT);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::{Pulse, SILENCE};

    fn old() -> Pulse {
        let mut pulse = Pulse::new();
        pulse.begin -= SILENCE;
        pulse
    }

    #[test]
    fn a_service_that_acknowledges_nothing_is_not_back() {
        assert!(!Pulse::new().is_proven());
        assert!(old().is_proven(), "nothing was asked");
        let mut pulse = old();
        pulse.asked();
        assert!(!pulse.is_proven(), "for as long as the connection held");
        pulse.answered();
        pulse.asked();
        assert!(pulse.is_proven(), "it did work");
    }
}
