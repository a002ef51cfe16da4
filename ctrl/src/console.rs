//! The container's own log: lines for people, or events for a local runner.

use std::io::Write as _;

use osmo_protocol::events::SidecarEvent;

/// Where the sidecar speaks outside the service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    json: bool,
}

impl Console {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// A line that the service gets as well.
    pub(crate) fn line(self, text: &str) {
        if !self.json {
            // Nobody may be listening; the service is the one that counts.
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        }
    }

    /// A line about trouble, which the service may never get.
    pub(crate) fn warn(self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "osmo-ctrl: {text}");
    }

    /// An event, for those who asked for them.
    pub(crate) fn event(self, event: &SidecarEvent) {
        if let (true, Ok(text)) = (self.json, serde_json::to_string(event)) {
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        }
    }
}
