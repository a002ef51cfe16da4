//! Sessions: terminals, forwarded ports, browsers and rsync, each a task of its
//! own that the service's action begins.
//!
//! ```text
//! link ── Action ──► Sessions ── dial ──► router ◄──► user
//!                       │  one bounded table
//!                       └── agent (terminal, probe) · task's port ◄─ pump ─┘
//! ```

use osmo_link::Network;
use osmo_protocol::logger::{Action, LineType};

use crate::flags::Flags;
use crate::local::agent::Agent;
use crate::logs::Log;
use crate::service::token::Tokens;

/// All sessions; clones share the table.
#[derive(Clone)]
pub(crate) struct Sessions {
    log: Log,
    agent: Agent,
}

impl Sessions {
    pub(crate) fn new(
        flags: &Flags,
        network: Network,
        tokens: Tokens,
        log: Log,
        agent: Agent,
    ) -> Self {
        let _ = (flags, network, tokens);
        Self { log, agent }
    }

    /// Begins what `action` asks for; never waits.
    pub(crate) fn start(&self, action: Action) {
        let _ = &self.agent;
        let line = format!("{action:?} is not available yet");
        self.log.say(LineType::OsmoCtrl, &line);
    }
}
