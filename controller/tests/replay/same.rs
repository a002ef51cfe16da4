//! Compares payloads: JSON as JSON, all else byte by byte. Keys are random and
//! must only be consistent; tokens and times of expiry must only be there.

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
            Ok(wanted) if !wanted.is_number() => match serde_json::from_slice::<Value>(got) {
                Ok(got) => self.expect_same_json("", &wanted, &got),
                Err(_) => panic!("wanted {wanted}, got {}", String::from_utf8_lossy(got)),
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

fn kind(key: &str) -> &str {
    key.split('-').next().unwrap_or_default()
}

/// `KIND-<32 hex>`
fn is_random(key: &str) -> bool {
    let hex = key.split_once('-').map_or("", |(_, hex)| hex);
    hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
