//! A request's target: bucket, key and query, decoded.

use std::collections::BTreeMap;

/// What a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) bucket: String,
    pub(super) key: String,
    query: BTreeMap<String, String>,
}

impl Target {
    /// Reads `/bucket/key?query`.
    pub(super) fn parse(target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path.trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        });
        Self { bucket: decode(bucket, false), key: decode(key, false), query: pairs.collect() }
    }

    pub(super) fn asks(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }
}

fn decode(text: &str, form: bool) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()))
            .flatten();
        match escaped {
            Some(value) => {
                plain.push(value);
                at += 2;
            }
            None if form && byte == b'+' => plain.push(b' '),
            None => plain.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Percent-encodes everything but unreserved characters and `/`.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_taken_apart() {
        let target = Target::parse("/bench/a%20b/c+d?prefix=a%2F&uploads&token=x+y");
        assert_eq!((target.bucket.as_str(), target.key.as_str()), ("bench", "a b/c+d"));
        assert_eq!(target.asks("prefix"), Some("a/"));
        assert_eq!(target.asks("uploads"), Some(""));
        assert_eq!(target.asks("token"), Some("x y"));
        assert_eq!(target.asks("delimiter"), None);
        assert_eq!(Target::parse("/").bucket, "");
        assert_eq!(encode("a b/ü~"), "a%20b/%C3%BC~");
    }
}
