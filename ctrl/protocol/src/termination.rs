//! The termination message: `{"code":10,"message":"…"}`, without a newline.
//!
//! The operator looks up `code` alone; `message` is ours and stands only where
//! there is something to say.

use serde::Serialize;

use crate::exit::ExitCode;

/// Bytes of sentence that are kept: Kubernetes cuts the whole message at 4096.
pub const SENTENCE_BYTES_MAX: usize = 640;

#[derive(Serialize)]
struct Wire<'a> {
    code: u8,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

/// The file's whole content. A long sentence is cut at a character.
pub fn encode(code: ExitCode, sentence: &str) -> String {
    let message = &sentence[..sentence.floor_char_boundary(SENTENCE_BYTES_MAX)];
    serde_json::to_string(&Wire { code: code.code(), message })
        .unwrap_or_else(|_| format!("{{\"code\":{}}}", code.code()))
}

#[cfg(test)]
mod tests {
    use super::encode;
    use crate::exit::ExitCode;

    #[test]
    fn bytes_are_those_the_operator_reads() {
        assert_eq!(encode(ExitCode::Ok, ""), r#"{"code":0}"#);
        assert_eq!(encode(ExitCode::Download, ""), r#"{"code":10}"#);
        assert_eq!(
            encode(ExitCode::Download, "no such bucket \"b\""),
            r#"{"code":10,"message":"no such bucket \"b\""}"#
        );
    }

    #[test]
    fn a_long_sentence_stays_below_the_limit_of_kubernetes() {
        for filler in ["ä", "\u{1}", "\""] {
            assert!(encode(ExitCode::Misc, &filler.repeat(4096)).len() <= 4096, "{filler:?}");
        }
    }
}
