//! Compares payloads: JSON value by value and in the order and spacing of its
//! text, all else byte by byte. Keys are random and must only be consistent;
//! tokens and times of expiry must only be there.

use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Recorded key to replayed key.
pub(crate) struct Keys {
    router: String,
    seen: BTreeMap<String, String>,
}

impl Keys {
    pub(crate) fn new(router: SocketAddr) -> Self {
        Self { router: format!("ws://{router}"), seen: BTreeMap::new() }
    }

    /// `text` with the recording's random keys replaced by those seen for them.
    pub(crate) fn ours(&self, text: &str) -> String {
        let replace = |text: String, (theirs, ours): (&String, &String)| text.replace(theirs, ours);
        self.seen.iter().fold(text.to_owned(), replace)
    }

    pub(crate) fn expect_same(&mut self, wanted: &[u8], got: &[u8]) {
        match serde_json::from_slice::<Value>(wanted) {
            Ok(read) if !read.is_number() => match serde_json::from_slice::<Value>(got) {
                Ok(parsed) => {
                    self.expect_same_json("", &read, &parsed);
                    assert_eq!(skeleton(got), skeleton(wanted), "order and spacing");
                }
                Err(_) => panic!("wanted {read}, got {}", String::from_utf8_lossy(got)),
            },
            _ => assert!(
                wanted == got,
                "wanted {:.200}, got {:.200}",
                String::from_utf8_lossy(wanted),
                String::from_utf8_lossy(got)
            ),
        }
    }

    fn expect_same_json(&mut self, at: &str, wanted: &Value, got: &Value) {
        match (wanted, got) {
            (Value::Object(w), Value::Object(g)) => {
                let keys =
                    |map: &serde_json::Map<_, _>| map.keys().cloned().collect::<Vec<String>>();
                assert_eq!(keys(w), keys(g), "keys of {at:?}");
                w.iter().for_each(|(key, value)| self.expect_same_json(key, value, &g[key]));
            }
            (Value::Array(w), Value::Array(g)) => {
                assert_eq!(w.len(), g.len(), "length of {at:?}");
                w.iter().zip(g).for_each(|(w, g)| self.expect_same_json(at, w, g));
            }
            (Value::String(w), Value::String(g)) => self.expect_same_text(at, w, g),
            (Value::Number(_), Value::Number(got)) if at == "expires_at" => {
                let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
                let left = got.as_u64().unwrap().checked_sub(now).expect("in the future");
                assert!(left <= 300, "expires in {left} s");
            }
            _ => assert_eq!(wanted, got, "{at}"),
        }
    }

    fn expect_same_text(&mut self, at: &str, wanted: &str, got: &str) {
        match (at, wanted) {
            ("token", "<jwt>") => assert_eq!(got.split('.').count(), 3, "not a JWT: {got}"),
            ("router_address", "ws://127.0.0.1:58001") if got == self.router => {}
            ("key", _) if is_random(wanted) => {
                assert_eq!(kind(wanted), kind(got), "{got} is of another kind than {wanted}");
                assert!(is_random(got) || wanted == got, "not a key: {got}");
                let seen = self.seen.entry(wanted.to_owned()).or_insert_with(|| got.to_owned());
                assert_eq!(seen, got, "two keys for {wanted}");
            }
            _ => assert_eq!(wanted, got, "{at}"),
        }
    }
}

/// A JSON text without its values: keys in their order, and what is between.
fn skeleton(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut bare = String::new();
    let mut rest = text.as_ref();
    while let Some(begin) = rest.find('"') {
        let mut escaped = false;
        let ends = |c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        };
        let end = begin + 1 + rest[begin + 1..].find(ends).expect("the end of a string");
        bare.push_str(&rest[..begin].replace(|c: char| c.is_ascii_digit(), ""));
        bare.push_str(if rest[end + 1..].starts_with(':') { &rest[begin..=end] } else { "\"\"" });
        rest = &rest[end + 1..];
    }
    bare + &rest.replace(|c: char| c.is_ascii_digit(), "")
}

fn kind(key: &str) -> &str {
    key.split('-').next().unwrap_or_default()
}

/// `KIND-<32 hex>`
fn is_random(key: &str) -> bool {
    let hex = key.split_once('-').map_or("", |(_, hex)| hex);
    hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
