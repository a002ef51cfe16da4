//! What was told in the last minutes, to a few seconds: one count a bucket of time,
//! so that a storm costs no more than a quiet hour.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::{XID_WINDOW, XIDS_MAX};

/// A bucket's share of the window, and how late an error may leave it.
pub(super) const BUCKET: Duration = Duration::from_secs(10);

type Counts = BTreeMap<u64, u64>;

/// Counts by number; at most [`XIDS_MAX`] numbers a bucket, of which there are at
/// most a window's worth and one.
#[derive(Clone, Debug, Default)]
pub(super) struct Window(VecDeque<(Instant, Counts)>);

impl Window {
    /// Counts `number`, told at `now`.
    pub(super) fn count(&mut self, number: u64, now: Instant) {
        self.forget(now);
        if self.0.back().is_none_or(|(begin, _)| now.saturating_duration_since(*begin) >= BUCKET) {
            self.0.push_back((now, Counts::new()));
        }
        let Some((_, counts)) = self.0.back_mut() else { return };
        if counts.len() < XIDS_MAX || counts.contains_key(&number) {
            *counts.entry(number).or_default() += 1;
        }
    }

    /// What the window before `now` holds; at most [`XIDS_MAX`] numbers.
    pub(super) fn counts(&mut self, now: Instant) -> Counts {
        self.forget(now);
        let mut sums = Counts::new();
        for (number, count) in self.0.iter().flat_map(|(_, counts)| counts) {
            if sums.len() < XIDS_MAX || sums.contains_key(number) {
                *sums.entry(*number).or_default() += count;
            }
        }
        sums
    }

    /// Drops what is older: a bucket once all of it is.
    fn forget(&mut self, now: Instant) {
        let is_old = |begin: &Instant| now.saturating_duration_since(*begin) >= XID_WINDOW + BUCKET;
        while self.0.front().is_some_and(|(begin, _)| is_old(begin)) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{BUCKET, Window};
    use crate::{XID_WINDOW, XIDS_MAX};

    /// A clock that goes as it is told.
    struct Clock(Instant);

    impl Clock {
        fn after(&mut self, seconds: u64) -> Instant {
            self.0 += Duration::from_secs(seconds);
            self.0
        }
    }

    #[test]
    fn five_minutes_are_counted_and_then_forgotten() {
        let (mut clock, mut window) = (Clock(Instant::now()), Window::default());
        let begin = clock.after(0);
        (0..3000).for_each(|_| window.count(79, begin));
        let later = clock.after(200);
        window.count(48, later);
        assert_eq!(window.counts(later), [(48, 1), (79, 3000)].into());
        assert_eq!(window.counts(clock.after(99)), [(48, 1), (79, 3000)].into());
        // 310 s after the storm it is gone, and what came 200 s later is not.
        assert_eq!(window.counts(clock.after(11)), [(48, 1)].into());
        assert_eq!(window.counts(clock.after(200)), [].into());
    }

    /// An hour's storm of more kinds than are counted apart.
    #[test]
    fn a_storm_takes_no_more_than_its_room() {
        let (mut clock, mut window) = (Clock(Instant::now()), Window::default());
        for _ in 0..3600 {
            let now = clock.after(1);
            (0..100).for_each(|number| window.count(number, now));
        }
        let buckets = XID_WINDOW.as_secs() / BUCKET.as_secs() + 1;
        assert_eq!(window.0.len() as u64, buckets);
        let counts = window.counts(clock.after(0));
        assert_eq!(counts.len(), XIDS_MAX);
        // Once a second, for 300 to 310 seconds.
        assert!(counts.values().all(|count| (300..=310).contains(count)), "{counts:?}");
    }
}
