//! Which records may be believed without looking at the bytes.
//!
//! Data is written before its record. On the boot that wrote both, the page
//! cache has them, whoever was killed. After a power loss a record may have
//! reached the disk before its data: then only what a commit made durable
//! counts, and the rest is doubted.

use super::record::{Name, Record, Stamp};

/// Runs that are told apart; what older ones recorded is doubted.
const RUNS_MAX: usize = 64;

#[derive(Debug)]
struct Run {
    run: u32,
    boot: Name,
    durable: Option<u32>,
}

/// What the runs so far have made durable.
#[derive(Debug)]
pub(super) struct Trust {
    boot: Name,
    runs: Vec<Run>,
}

impl Trust {
    /// On the boot `boot`.
    pub(super) fn new(boot: Name) -> Self {
        Self { boot, runs: Vec::new() }
    }

    pub(super) fn see(&mut self, record: &Record) {
        match *record {
            Record::Run { run, boot } => {
                if self.runs.len() == RUNS_MAX {
                    self.runs.remove(0);
                }
                self.runs.push(Run { run, boot, durable: None });
            }
            Record::Durable { stamp } => {
                if let Some(run) = self.runs.iter_mut().rfind(|run| run.run == stamp.run) {
                    run.durable = run.durable.max(Some(stamp.epoch));
                }
            }
            _ => {}
        }
    }

    /// Whether what a record with this stamp says is so. Another boot in between
    /// may have lost what the first one had written.
    pub(super) fn holds(&self, stamp: Stamp) -> bool {
        let Some(place) = self.runs.iter().rposition(|run| run.run == stamp.run) else {
            return false;
        };
        let since = &self.runs[place..];
        since.iter().all(|run| run.boot == self.boot)
            || self.runs[place].durable >= Some(stamp.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Name = [1; 16];
    const ELSEWHERE: Name = [2; 16];

    fn trust(records: &[Record]) -> Trust {
        let mut trust = Trust::new(HERE);
        records.iter().for_each(|record| trust.see(record));
        trust
    }

    fn run(run: u32, boot: Name) -> Record {
        Record::Run { run, boot }
    }

    fn durable(run: u32, epoch: u32) -> Record {
        Record::Durable { stamp: Stamp { run, epoch } }
    }

    #[test]
    fn the_same_boot_has_everything_that_was_written() {
        let trust = trust(&[run(7, HERE), run(8, HERE)]);
        for run in [7, 8] {
            assert!(trust.holds(Stamp { run, epoch: 99 }));
        }
        assert!(!trust.holds(Stamp { run: 9, epoch: 0 }), "nobody knows that run");
    }

    #[test]
    fn another_boot_has_what_was_committed() {
        let trust = trust(&[run(7, ELSEWHERE), durable(7, 3), durable(7, 2), run(8, HERE)]);
        for (epoch, holds) in [(0, true), (3, true), (4, false)] {
            assert_eq!(trust.holds(Stamp { run: 7, epoch }), holds, "{epoch}");
        }
        assert!(trust.holds(Stamp { run: 8, epoch: 4 }));
    }

    #[test]
    fn a_boot_in_between_is_a_loss() {
        let trust = trust(&[run(7, HERE), run(8, ELSEWHERE), run(9, HERE)]);
        assert!(!trust.holds(Stamp { run: 7, epoch: 0 }));
        assert!(!trust.holds(Stamp { run: 8, epoch: 0 }));
        assert!(trust.holds(Stamp { run: 9, epoch: 0 }));
    }

    #[test]
    fn runs_beyond_the_limit_are_doubted() {
        let records: Vec<_> = (0..=64).map(|number| run(number, HERE)).collect();
        let trust = trust(&records);
        assert!(!trust.holds(Stamp { run: 0, epoch: 0 }));
        assert!(trust.holds(Stamp { run: 1, epoch: 0 }));
    }
}
