//! Cuts a stream of bytes into lines: at `\n`, a `\r` before it dropped, and a
//! longer line into pieces of [`LINE_BYTES_MAX`] that never split a character.

use osmo_protocol::socket::LINE_BYTES_MAX;

/// The unfinished line of one stream.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// Takes over `bytes` and returns the lines that are now whole.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut whole = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.pending.extend_from_slice(piece);
            if self.pending.last() == Some(&b'\n') {
                self.pending.pop();
                if self.pending.last() == Some(&b'\r') {
                    self.pending.pop();
                }
                self.cut(&mut whole);
                whole.push(text(&self.pending));
                self.pending.clear();
            } else {
                self.cut(&mut whole);
            }
        }
        whole
    }

    /// What is left when the stream has ended.
    pub(crate) fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.pending);
        (!rest.is_empty()).then(|| text(&rest))
    }

    /// Cuts pieces off a line that has become too long.
    fn cut(&mut self, whole: &mut Vec<String>) {
        // A `\r` that may yet be dropped does not make a line too long.
        let length = self.pending.len() - usize::from(self.pending.last() == Some(&b'\r'));
        let mut start = 0;
        while length - start > LINE_BYTES_MAX {
            let end = boundary(&self.pending, start + LINE_BYTES_MAX);
            whole.push(text(&self.pending[start..end]));
            start = end;
        }
        self.pending.drain(..start);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The last place at or before `end` where a character begins; `end` itself
/// where the bytes before it are no UTF-8 at all.
fn boundary(bytes: &[u8], end: usize) -> usize {
    let continues = |at: usize| bytes[at] & 0b1100_0000 == 0b1000_0000;
    (end.saturating_sub(3)..=end).rev().find(|&at| !continues(at)).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::{LINE_BYTES_MAX, Lines};

    fn lines(input: &[u8], step: usize) -> Vec<String> {
        let mut splitter = Lines::default();
        let mut lines: Vec<_> = input.chunks(step).flat_map(|piece| splitter.push(piece)).collect();
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn lines_do_not_depend_on_the_reads() {
        let input = "a\r\n\nb\rc\n\r\nlast ä".as_bytes();
        for step in 1..=input.len() {
            assert_eq!(lines(input, step), ["a", "", "b\rc", "", "last ä"], "reads of {step}");
        }
        assert_eq!(lines(b"", 1), [""; 0]);
        assert_eq!(lines(b"x\n", 1), ["x"]);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        for (unit, pad) in [("a", 0), ("ä", 1), ("€", 1), ("€", 2), ("🚀", 1), ("🚀", 3)] {
            let line = format!("{}{}\n", "x".repeat(pad), unit.repeat(LINE_BYTES_MAX + 1));
            for step in [1000, 4096, line.len()] {
                let pieces = lines(line.as_bytes(), step);
                assert!(pieces.len() > 1);
                assert!(pieces.iter().all(|piece| piece.len() <= LINE_BYTES_MAX));
                assert!(pieces[0].len() > LINE_BYTES_MAX - 4);
                assert_eq!(pieces.concat() + "\n", line, "{unit} after {pad}, reads of {step}");
            }
        }
    }

    #[test]
    fn a_line_of_just_the_limit_is_one_piece() {
        let line = "y".repeat(LINE_BYTES_MAX);
        for (end, step) in [("\n", 5000), ("\r\n", 5000), ("\r\n", LINE_BYTES_MAX + 1)] {
            let input = format!("{line}{end}z");
            assert_eq!(lines(input.as_bytes(), step), [line.as_str(), "z"], "{end:?} {step}");
        }
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        assert_eq!(lines(b"a\xffb\xf0\x9f\n", 1), ["a\u{fffd}b\u{fffd}"]);
        let junk = vec![0x80; LINE_BYTES_MAX + 5];
        let count: usize = lines(&junk, 777).iter().map(|piece| piece.chars().count()).sum();
        assert_eq!(count, junk.len());
    }
}
