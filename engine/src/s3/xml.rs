//! Finds the text of a few elements in S3's small error documents. It is no
//! XML parser: what it does not understand, it does not find.

/// Text of an element, cut to this many characters.
const TEXT_CHARS_MAX: usize = 300;

/// The text of the first `<name>…</name>` without attributes or children;
/// control characters become spaces.
pub(crate) fn text(document: &str, name: &str) -> Option<String> {
    let open = format!("<{name}>");
    let from = document.find(&open)? + open.len();
    let inner = &document[from..];
    let raw = &inner[..inner.find('<')?];
    if raw.trim().is_empty() || !inner[raw.len()..].starts_with(&format!("</{name}>")) {
        return None;
    }
    let plain = raw
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    Some(
        plain
            .trim()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(TEXT_CHARS_MAX)
            .collect(),
    )
}
