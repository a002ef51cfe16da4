//! How many parts may be in flight.

use std::time::{Duration, Instant};

/// Additive growth, halved when the store asks for less load.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    limit: usize,
    most: usize,
    credit: usize,
    calm_until: Option<Instant>,
}

/// Throttles within one round trip speak of the same overload.
const CALM: Duration = Duration::from_secs(1);

impl Window {
    /// Starts at `first` and never exceeds `most`.
    pub fn new(first: usize, most: usize) -> Self {
        let most = most.max(1);
        Self { limit: first.clamp(1, most), most, credit: 0, calm_until: None }
    }

    /// Parts that may be in flight now.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// A part arrived: one more may fly after a whole window of them.
    pub fn succeeded(&mut self) {
        self.credit += 1;
        if self.credit >= self.limit {
            self.credit = 0;
            self.limit = (self.limit + 1).min(self.most);
        }
    }

    /// The store asked for less load.
    pub fn throttled(&mut self, now: Instant) {
        if self.calm_until.is_some_and(|until| now < until) {
            return;
        }
        self.calm_until = Some(now + CALM);
        self.credit = 0;
        self.limit = (self.limit / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_one_per_round_up_to_the_most() {
        let mut window = Window::new(2, 4);
        for expected in [2, 3, 3, 3, 4, 4] {
            window.succeeded();
            assert_eq!(window.limit(), expected);
        }
        for _ in 0..100 {
            window.succeeded();
        }
        assert_eq!(window.limit(), 4);
    }

    #[test]
    fn halves_once_per_overload_and_never_closes() {
        let mut window = Window::new(16, 64);
        let start = Instant::now();
        for _ in 0..10 {
            window.throttled(start);
        }
        assert_eq!(window.limit(), 8);
        for second in 1..10 {
            window.throttled(start + CALM * second);
        }
        assert_eq!(window.limit(), 1);
    }
}
