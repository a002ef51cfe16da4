//! The container's own log: lines for people, or events for a local runner.

pub(crate) mod writer;

use osmo_protocol::events::SidecarEvent;
use serde_json::Value;

use self::writer::{Stream, put};
use crate::trace::Trace;

/// Where the sidecar speaks outside the service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    json: bool,
    trace: Option<Trace>,
}

impl Console {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, trace: None }
    }

    /// The same, whose events name `trace`, or nothing when there is none.
    pub(crate) fn in_trace(self, trace: Option<Trace>) -> Self {
        Self { trace, ..self }
    }

    /// The same, one step down in the trace: a phase of its own.
    pub(crate) fn below(self) -> Self {
        self.in_trace(self.trace.map(Trace::child))
    }

    /// A line that the service gets as well.
    pub(crate) fn line(self, text: &str) {
        if !self.json {
            put(Stream::Out, text.to_owned());
        }
    }

    /// A line about trouble, which the service may never get.
    pub(crate) fn warn(self, text: &str) {
        put(Stream::Err, format!("osmo-ctrl: {text}"));
    }

    /// An event, for those who asked for them.
    pub(crate) fn event(self, event: &SidecarEvent) {
        if !self.json {
            return;
        }
        let text = match self.trace {
            None => serde_json::to_string(event),
            Some(trace) => serde_json::to_value(event).map(|event| traced(event, trace)),
        };
        if let Ok(text) = text {
            put(Stream::Out, text);
        }
    }
}

fn traced(mut event: Value, trace: Trace) -> String {
    event["trace_id"] = trace.trace_id().into();
    event["span_id"] = trace.span_id().into();
    event.to_string()
}
