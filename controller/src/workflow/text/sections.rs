//! The text layer: a file is cut into sections by line, before any YAML parser
//! sees it.
//!
//! A section starts at a line whose first column begins a key, and runs to the
//! next such line. That is cruder than YAML on purpose: the service cuts the
//! same way, and a template need not be valid YAML before it is rendered.

use std::ops::Range;

use super::super::diagnostic::{Place, Sink};

/// The lines of one section, its key's line included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Section {
    /// Its text, whole lines.
    pub text: String,
    /// Line of the file that its first line is, from 1.
    pub line: usize,
}

/// A file, cut.
#[derive(Debug, Default)]
pub(in super::super) struct Sections {
    pub workflow: Option<Section>,
    pub defaults: Option<Section>,
}

const KNOWN: [&str; 3] = ["workflow", "default-values", "version"];

/// Cuts `text`; faults of this layer go to `sink`.
pub(in super::super) fn cut(text: &str, sink: &mut Sink) -> Sections {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let starts: Vec<(usize, &str)> = lines
        .iter()
        .enumerate()
        .filter_map(|(index, line)| key_at_column_0(line).map(|key| (index, key)))
        .collect();
    let mut sections = Sections::default();
    let mut seen: Vec<(&str, usize)> = Vec::new();
    let before = starts.first().map_or(lines.len(), |start| start.0);
    warn_dropped(&lines[..before], sink);
    for (nth, &(start, key)) in starts.iter().enumerate() {
        let end = starts.get(nth + 1).map_or(lines.len(), |next| next.0);
        let place = Place::new(start + 1, 1);
        if !KNOWN.contains(&key) {
            sink.error(place, "", format!("Unknown top-level key \"{key}\""), unknown_remedy(key));
            continue;
        }
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == key) {
            sink.error(
                place,
                "",
                format!("Duplicate top-level key \"{key}\""),
                format!("it already stands in line {first}; keep one of them"),
            );
            continue;
        }
        seen.push((key, start + 1));
        refuse_second_document(&lines, start..end, sink);
        let section = Section { text: lines[start..end].concat(), line: start + 1 };
        match key {
            "workflow" => sections.workflow = Some(section),
            "default-values" => sections.defaults = Some(section),
            // The service cuts `version` away unread, so any value passes there too.
            _ => {}
        }
    }
    if sections.workflow.is_none() && !starts.iter().any(|(_, key)| *key == "workflow") {
        sink.error(
            Place::START,
            "",
            "Workflow spec not found",
            "begin a line with `workflow:`, unquoted and in the first column",
        );
    }
    sections
}

fn unknown_remedy(key: &str) -> String {
    if KNOWN.contains(&key.to_ascii_lowercase().replace('_', "-").as_str()) {
        return format!("write `{}`", key.to_ascii_lowercase().replace('_', "-"));
    }
    "only workflow, default-values and version may start in the first column; indent it if it \
     belongs to the section above"
        .to_owned()
}

/// `[a-zA-Z][a-zA-Z0-9_-]*:` at the very start of the line.
fn key_at_column_0(line: &str) -> Option<&str> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))?;
    let (key, rest) = line.split_at(end);
    (key.starts_with(|c: char| c.is_ascii_alphabetic()) && rest.starts_with(':')).then_some(key)
}

/// Text before the first section is dropped, as the service does; say so when
/// it could have been meant.
fn warn_dropped(lines: &[&str], sink: &mut Sink) {
    for (index, line) in lines.iter().enumerate() {
        let text = line.trim();
        let harmless = text.is_empty() || text.starts_with('#') || text.starts_with("---");
        if !harmless && text.starts_with("{%") {
            sink.warn(
                Place::new(index + 1, 1),
                "",
                "a template statement before the first section is dropped",
                "move it below `workflow:`",
            );
        }
    }
}

fn refuse_second_document(lines: &[&str], section: Range<usize>, sink: &mut Sink) {
    for index in section {
        let line = lines[index].trim_end();
        if line == "---" || line.starts_with("--- ") {
            sink.error(
                Place::new(index + 1, 1),
                "",
                "a second YAML document starts here",
                "a workflow file holds one document; remove the `---` and what follows",
            );
            return;
        }
    }
}
