//! Access checks, answered as OSMO's own tool answers them.

use std::io::Write;

use osmo_engine::job::{Purpose, StoreOptions};
use osmo_engine::{CheckJob, Error, ErrorKind, Job};
use serde::Serialize;

use crate::flags::{AccessType, Check};
use crate::interrupt;

/// Set to 1, every check passes unasked.
const SKIP: &str = "OSMO_SKIP_DATA_AUTH";

#[derive(Serialize)]
struct Answer {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) fn run(flags: Check) -> Result<(), Error> {
    let skipped = std::env::var_os(SKIP).is_some_and(|value| value == "1");
    let ended = if skipped { Ok(()) } else { ask(flags) };
    let answer = match ended {
        Ok(()) => Answer { status: "pass", error: None },
        // Neither is an answer about the place.
        Err(error) if matches!(error.kind(), ErrorKind::Usage | ErrorKind::Cancelled) => {
            return Err(error);
        }
        Err(error) => Answer { status: "fail", error: Some(error.to_string()) },
    };
    let text = serde_json::to_string(&answer).unwrap_or_default();
    writeln!(std::io::stdout(), "{text}")
        .map_err(|error| Error::new(ErrorKind::Local, "cannot print the answer").because(error))
}

fn ask(flags: Check) -> Result<(), Error> {
    let engine = super::start(&flags.common)?;
    let purpose = flags.access_type.map(|access| match access {
        AccessType::Read => Purpose::Read,
        AccessType::Write => Purpose::Write,
        AccessType::Delete => Purpose::Delete,
    });
    let store = StoreOptions { request_payer: flags.common.request_payer, ..Default::default() };
    let handle =
        engine.submit(Job::Check(CheckJob { remote: flags.remote, purpose, store, access: None }));
    interrupt::cancels(handle.canceller());
    handle.wait().map(|_| ())
}
