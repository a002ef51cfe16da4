//! Which line of the user's file a rendered line comes from.
//!
//! Templates move lines: a loop repeats them, a condition drops them. Before
//! rendering, every line that has plain text gets its own number behind its
//! first character, between two private-use characters; after rendering the
//! numbers are taken out again and form the map.
//!
//! It is not used where it could be seen by the template itself: when text is
//! captured (`{% set x %}…{% endset %}` and the like) or when the file already
//! holds these characters. Then lines count in the rendered text.

use std::fmt::Write as _;

const OPEN: char = '\u{F8F0}';
const CLOSE: char = '\u{F8F1}';
const CAPTURES: [&str; 4] = ["endset", "endfilter", "endmacro", "endcall"];

/// Line of the file for each rendered line.
#[derive(Debug, Clone)]
pub(in super::super) struct LineMap {
    /// Index: rendered line from 0. Value: the file's line from 1.
    lines: Vec<usize>,
}

impl LineMap {
    /// Every line is its own, shifted so that the first is `first`.
    pub(in super::super) fn shifted(text: &str, first: usize) -> Self {
        Self { lines: (0..=text.matches('\n').count()).map(|n| n + first).collect() }
    }

    /// The file's line for the rendered line `line`, both from 1.
    pub(in super::super) fn line(&self, line: usize) -> usize {
        let index = line.saturating_sub(1).min(self.lines.len().saturating_sub(1));
        self.lines.get(index).copied().unwrap_or(1)
    }
}

/// Whether the text can carry marks.
pub(in super::super) fn can_mark(text: &str) -> bool {
    !text.contains([OPEN, CLOSE]) && !CAPTURES.iter().any(|word| text.contains(word))
}

/// Puts each line's number behind the first character of its plain text.
pub(in super::super) fn mark(text: &str, first: usize) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut within = Within::Text;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let mut marked = false;
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let step = within.step(rest, c);
            out.push_str(&rest[..step]);
            if within == Within::Text && !marked && step == c.len_utf8() && !c.is_whitespace() {
                let _ = write!(out, "{OPEN}{}{CLOSE}", index + first);
                marked = true;
            }
            rest = &rest[step..];
        }
    }
    out
}

/// Takes the marks out and says where each line came from.
pub(in super::super) fn unmark(rendered: &str, first: usize) -> (String, LineMap) {
    let mut text = String::with_capacity(rendered.len());
    let mut lines = Vec::new();
    let mut last = first;
    for line in rendered.split('\n') {
        if !lines.is_empty() {
            text.push('\n');
        }
        let mut found = None;
        let mut rest = line;
        while let Some(open) = rest.find(OPEN) {
            text.push_str(&rest[..open]);
            rest = &rest[open + OPEN.len_utf8()..];
            let Some(close) = rest.find(CLOSE) else { break };
            found = found.or(rest[..close].parse().ok());
            rest = &rest[close + CLOSE.len_utf8()..];
        }
        text.push_str(rest);
        last = found.unwrap_or(last);
        lines.push(last);
    }
    (text, LineMap { lines })
}

/// Where in the template the scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Text,
    Raw,
    Tag(&'static str),
}

impl Within {
    /// Bytes to copy from `rest`, and the state after them.
    fn step(&mut self, rest: &str, c: char) -> usize {
        match *self {
            Self::Text => {
                let close = match () {
                    () if rest.starts_with("{{") => "}}",
                    () if rest.starts_with("{%") => "%}",
                    () if rest.starts_with("{#") => "#}",
                    () => return c.len_utf8(),
                };
                *self = if is_block(rest, "raw") { Self::Raw } else { Self::Tag(close) };
                2
            }
            Self::Raw => {
                if is_block(rest, "endraw") {
                    *self = Self::Tag("%}");
                }
                c.len_utf8()
            }
            Self::Tag(close) => {
                if rest.starts_with(close) {
                    *self = Self::Text;
                    return close.len();
                }
                c.len_utf8()
            }
        }
    }
}

fn is_block(rest: &str, name: &str) -> bool {
    rest.strip_prefix("{%")
        .map(|inner| inner.trim_start_matches(['-', '+']).trim_start())
        .and_then(|inner| inner.strip_prefix(name))
        .is_some_and(|after| after.starts_with(|c: char| c.is_whitespace() || "-+%".contains(c)))
}
