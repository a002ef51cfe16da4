//! Which lines of a log that is sent again have been printed.
//!
//! The service knows no position: after a lost connection it begins anew, with
//! all the lines that it still has. Where its first line is the one that was
//! printed first, as many lines are skipped as were printed. Else the last
//! lines printed are looked for in what comes; while they may still come, it
//! is held back, and printed when they do not. So no line is lost, and one is
//! repeated only where the service has forgotten what was printed last.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytes::Bytes;

/// Lines that are looked for together.
const TAIL_LINES: usize = 64;
/// Lines, and their bytes, held back at most.
const HELD_LINES_MAX: usize = 20_000;
const HELD_BYTES_MAX: usize = 16 << 20;

#[derive(Debug, Default)]
pub(super) struct Seen {
    printed: u64,
    /// The log's first line, where printing began with it.
    first: Option<u64>,
    /// The last lines printed.
    tail: VecDeque<u64>,
    catching_up: Option<CatchingUp>,
}

#[derive(Debug)]
enum CatchingUp {
    Begin,
    /// So many are still to be skipped.
    Skip(u64),
    Search {
        held: Vec<Bytes>,
        bytes: usize,
        recent: VecDeque<u64>,
    },
}

impl Seen {
    pub(super) fn is_empty(&self) -> bool {
        self.printed == 0
    }

    /// The log begins anew.
    pub(super) fn again(&mut self) {
        self.catching_up = Some(CatchingUp::Begin);
    }

    /// Takes the next line; gives what is to be printed now.
    pub(super) fn push(&mut self, line: Bytes) -> Vec<Vec<u8>> {
        let hash = hash(&line);
        let mode = self.catching_up.take();
        match mode {
            None => vec![self.print(&line, hash)],
            Some(CatchingUp::Begin) if self.first == Some(hash) => {
                self.skip(self.printed - 1);
                Vec::new()
            }
            Some(CatchingUp::Begin) => self.search(line, hash, Vec::new(), 0, VecDeque::new()),
            Some(CatchingUp::Skip(left)) => {
                self.skip(left - 1);
                Vec::new()
            }
            Some(CatchingUp::Search { held, bytes, recent }) => {
                self.search(line, hash, held, bytes, recent)
            }
        }
    }

    /// The service has sent what it had: what is held back is new.
    pub(super) fn settle(&mut self) -> Vec<Vec<u8>> {
        match self.catching_up.take() {
            Some(CatchingUp::Search { held, .. }) => {
                held.iter().map(|line| self.print(line, hash(line))).collect()
            }
            // Fewer than were printed: the rest will not come again.
            _ => Vec::new(),
        }
    }

    fn print(&mut self, line: &Bytes, hash: u64) -> Vec<u8> {
        if self.printed == 0 {
            self.first = Some(hash);
        }
        self.printed += 1;
        self.tail.push_back(hash);
        if self.tail.len() > TAIL_LINES {
            self.tail.pop_front();
        }
        line.to_vec()
    }

    fn skip(&mut self, left: u64) {
        self.catching_up = (left > 0).then_some(CatchingUp::Skip(left));
    }

    fn search(
        &mut self,
        line: Bytes,
        hash: u64,
        mut held: Vec<Bytes>,
        mut bytes: usize,
        mut recent: VecDeque<u64>,
    ) -> Vec<Vec<u8>> {
        recent.push_back(hash);
        if recent.len() > self.tail.len() {
            recent.pop_front();
        }
        if recent == self.tail {
            return Vec::new();
        }
        bytes += line.len();
        held.push(line);
        let full = held.len() >= HELD_LINES_MAX || bytes >= HELD_BYTES_MAX;
        self.catching_up = Some(CatchingUp::Search { held, bytes, recent });
        if full { self.settle() } else { Vec::new() }
    }
}

fn hash(line: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::{HELD_LINES_MAX, Seen};
    use bytes::Bytes;

    fn feed(seen: &mut Seen, lines: std::ops::Range<usize>) -> Vec<String> {
        let fed = lines.flat_map(|line| seen.push(Bytes::from(format!("line {line}\n"))));
        fed.map(|line| String::from_utf8_lossy(&line).trim().replace("line ", "")).collect()
    }

    fn numbers(lines: std::ops::Range<usize>) -> Vec<String> {
        lines.map(|line| line.to_string()).collect()
    }

    #[test]
    fn a_log_sent_again_from_its_begin_is_not_repeated() {
        let mut seen = Seen::default();
        assert_eq!(feed(&mut seen, 0..100), numbers(0..100));
        seen.again();
        assert_eq!(feed(&mut seen, 0..150), numbers(100..150));
        seen.again();
        assert_eq!(feed(&mut seen, 0..151), numbers(150..151));
    }

    #[test]
    fn same_lines_are_told_apart_by_their_number() {
        let mut seen = Seen::default();
        let same = || Bytes::from_static(b"same\n");
        let first: usize = (0..10).map(|_| seen.push(same()).len()).sum();
        seen.again();
        let second: usize = (0..13).map(|_| seen.push(same()).len()).sum();
        assert_eq!((first, second), (10, 3));
    }

    #[test]
    fn a_log_that_lost_its_begin_goes_on_behind_the_last_lines() {
        let mut seen = Seen::default();
        feed(&mut seen, 0..1_000);
        seen.again();
        assert_eq!(feed(&mut seen, 500..1_010), numbers(1_000..1_010));
    }

    #[test]
    fn a_log_that_lost_all_of_it_is_printed_whole() {
        let mut seen = Seen::default();
        feed(&mut seen, 0..10);
        seen.again();
        assert!(feed(&mut seen, 100..110).is_empty());
        assert_eq!(seen.settle().len(), 10);
        assert_eq!(feed(&mut seen, 110..111), numbers(110..111));
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let mut seen = Seen::default();
        feed(&mut seen, 0..1);
        seen.again();
        let printed = feed(&mut seen, 1..HELD_LINES_MAX + 11);
        assert_eq!(printed, numbers(1..HELD_LINES_MAX + 11));
    }
}
