//! What the service says, for people and for the next call.

use super::{Service, Trouble};

use serde_json::Value;

impl Service {
    /// What an answer that is no success means.
    pub(in crate::session) fn refusal(&self, status: u16, body: &[u8]) -> Trouble {
        let said = sentence(body);
        match status {
            401 | 403 => Trouble::Login(format!(
                "{} does not let you do this ({status}{}{said}); log in again, or ask for the right",
                self.whence,
                if said.is_empty() { "" } else { ": " }
            )),
            425 => Trouble::NotYet(said),
            429 | 500..=599 => {
                Trouble::Transient(format!("{} answered {status}: {said}", self.whence))
            }
            404 if said == "Not Found" => Trouble::Refused(format!(
                "{} does not know this call (404): is it an OSMO service, of this time?",
                self.whence
            )),
            404 | 410 => Trouble::Refused(format!("{said} It has ended, or is not there.")),
            _ => Trouble::Refused(if said.is_empty() {
                format!("{} answered {status}", self.whence)
            } else {
                said
            }),
        }
    }
}

/// As OSMO's own command line writes it: name, path, same-site, secure.
pub(super) fn cookie_of(set: &str) -> String {
    let mut parts = set.split(';').map(str::trim);
    let mut cookie = parts.next().unwrap_or_default().to_owned();
    let rest: Vec<&str> = parts.collect();
    let named = |name: &str| {
        rest.iter()
            .find(|part| part.split('=').next().is_some_and(|key| key.eq_ignore_ascii_case(name)))
    };
    let value = |part: &&str| part.split_once('=').map(|(_, value)| value.to_owned());
    cookie.push_str(&format!(
        "; Path={}",
        named("path").and_then(value).unwrap_or_else(|| "/".into())
    ));
    if let Some(same) = named("samesite").and_then(value) {
        cookie.push_str(&format!("; SameSite={same}"));
    }
    if named("secure").is_some() {
        cookie.push_str("; Secure");
    }
    cookie
}

/// What an error's body says to people.
fn sentence(body: &[u8]) -> String {
    const SENTENCE_CHARS_MAX: usize = 500;
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let said = parsed.as_ref().and_then(|body| body.get("message").or_else(|| body.get("detail")));
    let said = match said {
        Some(Value::String(said)) => said.clone(),
        Some(other) => other.to_string(),
        None => String::from_utf8_lossy(&body[..body.len().min(SENTENCE_CHARS_MAX)]).into_owned(),
    };
    let printable = |c: &char| !c.is_control();
    said.trim().chars().filter(printable).take(SENTENCE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::{cookie_of, sentence};

    // The cookie of the recording of an rsync pair.
    #[test]
    fn a_cookie_is_written_as_osmo_writes_it() {
        let set = r#"_osmo_router_affinity="1758d1c8a4c6b1e2"; Max-Age=60; Path=/; HttpOnly; SameSite=Strict; Secure"#;
        let cookie = r#"_osmo_router_affinity="1758d1c8a4c6b1e2"; Path=/; SameSite=Strict; Secure"#;
        assert_eq!(cookie_of(set), cookie);
        assert_eq!(cookie_of("a=b"), "a=b; Path=/");
    }

    #[test]
    fn an_error_s_body_becomes_a_sentence() {
        assert_eq!(sentence(br#"{"message":"No.","error_code":"USER"}"#), "No.");
        assert_eq!(sentence(br#"{"detail":"Not Found"}"#), "Not Found");
        assert_eq!(sentence(b"upstream \x1b[2Jgone\n"), "upstream [2Jgone");
        assert_eq!(sentence(&[b'x'; 4096]).len(), 500);
    }
}
