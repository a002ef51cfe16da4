//! The form of names, images, addresses, patterns and labels.

use std::sync::LazyLock;

use fancy_regex::Regex;

use super::super::diagnostic::Sink;
use super::super::model::Text;
use super::super::text::yaml::shortened;
use super::super::tokens;
use super::cursor::Cursor;

/// Longest name of a workflow, group or task, in characters.
pub(in super::super) const NAME_CHARS_MAX: usize = 64;
/// Labels of one workflow.
pub(in super::super) const LABELS_MAX: usize = 16;

const IMAGE: &str = concat!(
    r"^(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?::[0-9]+)?/)?",
    r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*",
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,})?$"
);
static IMAGE_PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(IMAGE).ok());

/// `^[a-zA-Z]([a-zA-Z0-9_-]*[a-zA-Z0-9])?$`, at most 64 characters.
pub(super) fn name(text: &Text, path: &str, sink: &mut Sink) {
    if text.text.is_empty() {
        return;
    }
    let bytes = text.text.as_bytes();
    let fine = bytes[0].is_ascii_alphabetic()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(b));
    if !fine {
        sink.error(
            text.place,
            path,
            format!("{:?} does not match the pattern of names", text.text),
            "a name begins with a letter, goes on with letters, digits, - and _, and ends with a \
             letter or digit",
        );
    } else if bytes.len() > NAME_CHARS_MAX {
        sink.error(
            text.place,
            path,
            format!("the name is too long: {} characters", bytes.len()),
            format!("{NAME_CHARS_MAX} are allowed"),
        );
    }
}

/// `[host[:port]/]name[:tag][@digest]`.
pub(super) fn image(text: &Text, path: &str, sink: &mut Sink) {
    let fine =
        IMAGE_PATTERN.as_ref().is_some_and(|pattern| pattern.is_match(&text.text).unwrap_or(false));
    if !fine {
        sink.error(
            text.place,
            path,
            format!("could not parse docker image {:?}", shortened(&text.text)),
            "write [host[:port]/]name[:tag][@digest] with a lower-case name",
        );
    }
}

/// One of the storage addresses, component by component.
pub(super) fn url(text: &Text, path: &str, sink: &mut Sink) {
    if text.text.is_empty() {
        return;
    }
    if let Err(fault) = check_url(&tokens::neutral(&text.text)) {
        sink.error(
            text.place,
            path,
            format!("{:?} is no storage address: {fault}", text.text),
            "write s3://bucket/path, gs://bucket/path, azure://account/container/path, \
             tos://endpoint/bucket/path or swift://host/namespace/container/path",
        );
    }
}

fn check_url(url: &str) -> Result<(), String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err("it has no scheme".to_owned());
    };
    let needed = match scheme {
        "s3" | "gs" => 1,
        "azure" | "tos" => 2,
        "swift" => 3,
        _ => return Err(format!("the scheme {scheme:?} is unknown")),
    };
    let components: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
    if components.iter().any(|component| component.is_empty()) {
        return Err("a component between two slashes is empty".to_owned());
    }
    if let Some(bad) = components.iter().find(|c| c.contains([',', ';', '*'])) {
        return Err(format!("{bad:?} holds one of , ; *"));
    }
    if components.len() < needed {
        return Err(format!("{scheme} needs {needed} components"));
    }
    Ok(())
}

/// A regular expression.
pub(super) fn regex(text: &Text, path: &str, sink: &mut Sink) {
    if text.text.is_empty() {
        return;
    }
    if let Err(fault) = Regex::new(&tokens::neutral(&text.text)) {
        let fault = fault.to_string();
        sink.error(
            text.place,
            path,
            format!("Invalid regex {:?}: {}", text.text, fault.lines().last().unwrap_or_default()),
            "it is Python's dialect, anchored at the start; `*` alone is written `.*`",
        );
    }
}

/// One label of the file; the value must be text already.
pub(super) fn label(at: &Cursor<'_>, key: &str, value: &str, sink: &mut Sink) {
    if let Some(fault) = label_fault(key, value) {
        at.error(sink, fault, LABEL_REMEDY);
    }
}

pub(in super::super) const LABEL_REMEDY: &str = "keys are [dns-prefix/]name; names and values have at most 63 characters: letters and digits \
     at the ends, -_. inside";

/// What is wrong with a label, if anything.
pub(in super::super) fn label_fault(key: &str, value: &str) -> Option<String> {
    let (prefix, name) = match key.rsplit_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if !label_part(name) {
        return Some(format!("{key:?} is no label key"));
    }
    if prefix.is_some_and(|prefix| !dns_name(prefix)) {
        return Some(format!("the prefix of {key:?} is no lower-case DNS name"));
    }
    (!label_part(value)).then(|| format!("{value:?} is no label value"))
}

fn label_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn dns_name(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|part| {
            let bytes = part.as_bytes();
            (1..=63).contains(&bytes.len())
                && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
                && bytes[0] != b'-'
                && bytes[bytes.len() - 1] != b'-'
        })
}
