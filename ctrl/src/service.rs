//! The link to the service: one WebSocket that carries lines, metrics and the
//! barrier out, and actions in.
//!
//! ```text
//!   log ──push──► outbox ──batch──► link ──text frames──► service
//!                   ▲  └─ kept until acknowledged ─┐        │
//!                   └────── LOG_DONE / log_done ◄──┴────────┘
//!                                     inbox ◄── actions ────┘
//! ```
//!
//! Invariants: a line leaves the outbox only when a `log_done` covers it, so a
//! connection that dies loses none (it may repeat some); the outbox is bounded
//! in lines and bytes, and slows the agent down before it drops; a drop is
//! counted and told. A connection is judged by progress: by acknowledgements
//! while some are owed, by any frame otherwise.

pub(crate) mod inbox;
pub(crate) mod link;
pub(crate) mod outbox;
pub(crate) mod token;

use std::time::Duration;

use osmo_link::{Network, Place, Trust};
use osmo_protocol::exit::ExitCode;
use osmo_protocol::logger::LineType;

use crate::flags::Flags;
use crate::lifecycle::Failure;
use crate::logs::Log;
use crate::trace::Trace;

/// Where the service is and who we are to it.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// Where the logger is.
    pub(crate) place: Place,
    /// Where the token call is.
    pub(crate) token_place: Place,
    pub(crate) workflow: String,
    pub(crate) group: String,
    pub(crate) task: String,
    pub(crate) retry: u32,
}

impl Address {
    /// # Errors
    /// `InvalidInput` for what this version cannot dial.
    pub(crate) fn of(flags: &Flags) -> Result<Self, Failure> {
        let invalid = |sentence: String| Failure::new(ExitCode::InvalidInput, sentence);
        let place = |flag: &str, scheme: &str, plain: &str| {
            let secure = match scheme.strip_prefix(plain) {
                Some("") => false,
                Some("s") => true,
                _ => {
                    let sentence = format!("-{flag} {scheme}: expected {plain} or {plain}s");
                    return Err(invalid(sentence));
                }
            };
            Ok(Place::new(secure, &flags.host, flags.port))
        };
        let retry = flags.retry_id.parse().map_err(|_| {
            invalid(format!("-retryId {:?}: expected a whole number", flags.retry_id))
        })?;
        for (flag, value) in [("workflow", &flags.workflow), ("logSource", &flags.task)] {
            if value.is_empty() {
                return Err(invalid(format!(
                    "-{flag} is missing: it names the task to the service"
                )));
            }
        }
        Ok(Self {
            place: place("scheme", &flags.scheme, "ws")?,
            token_place: place("refreshScheme", &flags.refresh_scheme, "http")?,
            workflow: flags.workflow.clone(),
            group: flags.group.clone(),
            task: flags.task.clone(),
            retry,
        })
    }
}

/// The way out, as the flags trust it; calls and dials belong to the trace.
pub(crate) fn network(flags: &Flags, trace: Option<Trace>, log: &Log) -> Result<Network, Failure> {
    if !flags.tls_verify {
        let line = "WARNING: -tlsVerify=false: the service's certificate is not checked, so \
                    anybody between here and there can read this task's token, lines and sessions";
        log.console().warn(line);
        log.say(LineType::OsmoCtrl, line);
    }
    let trust = Trust { ca_file: flags.ca_file.clone(), verify: flags.tls_verify };
    let network = Network::open(trust)
        .map_err(|error| Failure::new(ExitCode::InvalidInput, error.to_string()))?;
    Ok(network.carrying(trace.map(Trace::headers).unwrap_or_default()))
}

/// Waits between two attempts: at random in the upper half of 1, 2, 4 … 32 s.
#[derive(Debug)]
pub(crate) struct Backoff {
    attempt: u32,
    chance: u64,
}

impl Backoff {
    /// `seed` keeps the sidecars of a group from dialling in step.
    pub(crate) fn new(seed: u64) -> Self {
        Self { attempt: 0, chance: seed | 1 }
    }

    /// The next wait.
    pub(crate) fn wait(&mut self) -> Duration {
        let ceiling = 1000u64 << self.attempt.min(5);
        self.attempt = self.attempt.saturating_add(1);
        // xorshift64: chance enough to spread clients.
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        Duration::from_millis(ceiling / 2 + self.chance % (ceiling / 2))
    }

    /// After a success the next wait is short again.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;

    #[test]
    fn waits_grow_within_their_bounds_and_differ() {
        let mut backoff = Backoff::new(42);
        for exponent in [0, 1, 2, 3, 4, 5, 5, 5] {
            let ceiling = 1000 << exponent;
            let wait = backoff.wait().as_millis();
            assert!((ceiling / 2..ceiling).contains(&wait), "{wait} of {ceiling}");
        }
        assert_ne!(Backoff::new(1).wait(), Backoff::new(9_999_999).wait());
        backoff.reset();
        assert!(backoff.wait().as_millis() < 1000);
    }
}
