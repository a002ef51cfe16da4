//! Reading a logger frame, and failing as the real service fails.
//!
//! The real one has two ways: a value that cannot be understood is caught, and
//! the connection goes silent for good; what it did not think of (a missing
//! key, another shape, a foreign URL) drops the connection. Each recorded case
//! falls on its side here.

use super::metric::{self, Metric};
use super::time;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Only lines may be long: what is kept of the other frames is counted, not
/// measured.
const CONTROL_BYTES_MAX: usize = 16 << 10;

/// Why a frame is refused, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) drops: bool,
    pub(crate) reason: Cow<'static, str>,
}

impl Fault {
    /// Ends the connection with 1006.
    pub(crate) fn drop(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { drops: true, reason: reason.into() }
    }

    /// Silence for good.
    pub(crate) fn silence(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { drops: false, reason: reason.into() }
    }
}

/// What a sidecar can say.
#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    Line(Line),
    LogDone,
    Barrier { name: String, count: i64 },
    Metric(Metric),
}

/// A line, checked; its time is normalised.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) source: String,
    pub(crate) time: String,
    pub(crate) text: String,
    pub(crate) kind: LineKind,
}

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineKind {
    Stdout,
    Stderr,
    OsmoCtrl,
    Download,
    Upload,
}

impl LineKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "STDOUT",
            Self::Stderr => "STDERR",
            Self::OsmoCtrl => "OSMO_CTRL",
            Self::Download => "DOWNLOAD",
            Self::Upload => "UPLOAD",
        }
    }

    fn read(text: &str) -> Option<Self> {
        let all = [Self::Stdout, Self::Stderr, Self::OsmoCtrl, Self::Download, Self::Upload];
        all.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Top-level keys, lower-cased.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// A key that the real service takes for granted.
    fn required(&self, key: &str) -> Result<&Value, Fault> {
        self.0.get(key).ok_or_else(|| Fault::drop(format!("no {key}")))
    }

    fn text(&self, key: &str) -> Result<&str, Fault> {
        let value = self.required(key)?;
        value.as_str().ok_or_else(|| Fault::silence(format!("{key} is not text")))
    }
}

/// Reads the payload of a text frame: JSON in a JSON string.
pub(crate) fn parse(payload: &[u8]) -> Result<Message, Fault> {
    let outer: Value =
        serde_json::from_slice(payload).map_err(|_| Fault::silence("the frame is not JSON"))?;
    let Value::String(inner) = outer else {
        return Err(Fault::drop("the frame is not a JSON string: it must be encoded twice"));
    };
    let inner: Value = serde_json::from_str(&inner)
        .map_err(|_| Fault::silence("the string in the frame is not JSON"))?;
    let Value::Object(object) = inner else {
        return Err(Fault::drop("the string in the frame holds no object"));
    };
    let fields = Fields(object.into_iter().map(|(k, v)| (k.to_lowercase(), v)).collect());
    let long = payload.len() > CONTROL_BYTES_MAX;
    match fields.text("iotype")? {
        "BARRIER" | "METRICS" if long => Err(Fault::silence("too long for a frame of its kind")),
        "LOG_DONE" => Ok(Message::LogDone),
        "BARRIER" => barrier(&fields),
        "METRICS" => {
            let kind = fields.text("metrictype")?.to_owned();
            metric::read(&kind, fields.required("metric")?).map(Message::Metric)
        }
        other => match LineKind::read(other) {
            Some(kind) => line(&fields, kind).map(Message::Line),
            None => Err(Fault::silence("unknown IOType")),
        },
    }
}

fn barrier(fields: &Fields) -> Result<Message, Fault> {
    let count = fields.required("count")?.as_i64();
    let count = count.ok_or_else(|| Fault::silence("Count is not a number"))?;
    Ok(Message::Barrier { name: fields.text("name")?.to_owned(), count })
}

fn line(fields: &Fields, kind: LineKind) -> Result<Line, Fault> {
    let text = match fields.0.get("text") {
        None => "",
        Some(Value::String(text)) => text,
        Some(_) => return Err(Fault::silence("Text is not text")),
    };
    Ok(Line {
        source: fields.text("source")?.to_owned(),
        time: time::normalise(fields.required("time")?)
            .ok_or_else(|| Fault::silence("bad Time"))?
            .iso(),
        text: text.to_owned(),
        kind,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FRAMES: [&str; 3] = [
        include_str!("../../../../tests/fixtures/transcripts/logger-lines.jsonl"),
        include_str!("../../../../tests/fixtures/transcripts/logger-metrics-ok.jsonl"),
        include_str!("../../../../tests/fixtures/transcripts/barrier-two-members.jsonl"),
    ];

    fn recorded() -> Vec<String> {
        let lines = FRAMES.iter().flat_map(|text| text.lines());
        let events = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let sent = events.filter(|event| event["from"] == "client" && event["kind"] == "text");
        sent.map(|event| event["data"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_cut_frame_is_never_taken_for_a_whole_one() {
        for frame in recorded() {
            assert!(parse(frame.as_bytes()).is_ok(), "{frame}");
            for end in 0..frame.len() {
                assert!(!parse(&frame.as_bytes()[..end]).unwrap_err().drops, "{}", &frame[..end]);
            }
        }
    }

    /// Whatever a byte is turned into, an answer comes and no panic.
    #[test]
    fn a_spoilt_byte_is_judged() {
        for frame in recorded() {
            for at in 0..frame.len() {
                for byte in [0, b'"', b'\\', b'{', b'9', 0xc3, 0xff] {
                    let mut spoilt = frame.clone().into_bytes();
                    spoilt[at] = byte;
                    let _ = parse(&spoilt);
                }
            }
        }
    }

    #[test]
    fn only_lines_may_be_long() {
        let long = "x".repeat(CONTROL_BYTES_MAX);
        let frame = |inner: Value| Value::String(inner.to_string()).to_string();
        let barrier = serde_json::json!({"Name": long, "Count": 1, "IOType": "BARRIER"});
        assert!(!parse(frame(barrier).as_bytes()).unwrap_err().drops);
        let line = serde_json::json!({"Source": "t1", "Time": 0, "Text": long, "IOType": "STDERR"});
        assert!(parse(frame(line).as_bytes()).is_ok());
    }
}
