//! The trace that the task belongs to, as W3C Trace Context writes it:
//! `00-<32 hex: trace>-<16 hex: parent>-<2 hex: flags>`.
//!
//! It comes in the environment's `TRACEPARENT`. The command gets it by
//! inheritance, since the pod's template gives it to both containers; the
//! sidecar's own events carry the trace and a new span for each phase, its calls
//! and dials of the service the task's position. Object stores are not told: what
//! is not signed does not belong into a signed request.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::console::Console;

/// A position in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    trace: u128,
    span: u64,
    flags: u8,
}

const VARIABLE: &str = "TRACEPARENT";
const HEADER: HeaderName = HeaderName::from_static("traceparent");

/// The trace that the environment names; a bad one is told and ignored, since
/// no task should fail for it.
pub(crate) fn from_environment() -> Option<Trace> {
    let text = std::env::var_os(VARIABLE)?;
    let trace = text.to_str().and_then(Trace::parse);
    if trace.is_none() {
        let sentence = format!("{VARIABLE} {text:?} is no trace context and is ignored");
        Console::new(false).warn(&sentence);
    }
    trace
}

impl Trace {
    /// Reads a `traceparent`; `None` when it is none, and then there is no
    /// trace. A later version may have more fields after the known ones.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(5, '-');
        let version = fields.next().filter(|field| is_hex(field, 2) && *field != "ff")?;
        let trace = fields.next().filter(|field| is_hex(field, 32))?;
        let span = fields.next().filter(|field| is_hex(field, 16))?;
        let flags = fields.next().filter(|field| is_hex(field, 2))?;
        if version == "00" && fields.next().is_some() {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
        Some(Self { trace, span, flags: u8::from_str_radix(flags, 16).ok()? })
    }

    /// A new position below this one.
    pub(crate) fn child(self) -> Self {
        // The standard library seeds each of these anew from the system.
        let random = std::hash::RandomState::new().build_hasher().finish();
        Self { span: random.max(1), ..self }
    }

    /// The header of a call that belongs to this position.
    pub(crate) fn headers(self) -> HeaderMap {
        let value = HeaderValue::from_str(&self.to_string());
        value.map(|value| (HEADER, value)).into_iter().collect()
    }

    /// The trace's id, 32 hex digits.
    pub(crate) fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The position's id, 16 hex digits.
    pub(crate) fn span_id(self) -> String {
        format!("{:016x}", self.span)
    }
}

/// As a header or variable; of the flags only `sampled` is passed on, as the
/// specification asks of version 00.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags & 1)
    }
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Trace;

    /// The example of the specification.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_specification_s_example_is_read_and_written() {
        let trace = Trace::parse(EXAMPLE).unwrap();
        assert_eq!(trace.to_string(), EXAMPLE);
        assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let child = trace.child();
        assert_eq!(child.trace_id(), trace.trace_id());
        assert_ne!(child.span_id(), trace.span_id());
        assert_eq!(child.span_id().len(), 16);
        assert_eq!(Trace::parse(&child.to_string()), Some(child));
    }

    #[test]
    fn a_later_version_may_have_more_and_this_one_may_not() {
        let later = EXAMPLE.replacen("00", "cc", 1) + "-what-the-future-holds";
        assert_eq!(Trace::parse(&later), Trace::parse(EXAMPLE));
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::parse(bad), None, "{bad}");
        }
    }
}
