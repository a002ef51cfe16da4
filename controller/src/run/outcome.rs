//! What the end of a pod means for its task: code, status and sentence.

use std::os::unix::process::ExitStatusExt;

use super::pod::End;
use super::report::Status;
use super::stop::Stop;
use crate::workflow::model::{ExitAction, ExitActions};

/// The sidecar's codes are shown above the command's, as the operator does.
const SIDECAR_BASE: i32 = 2000;

/// A killed process without a code of its own: 128 + SIGKILL.
const KILLED: i32 = 137;

/// How a task ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The command's code, or 2000 + the sidecar's.
    pub code: i32,
    /// A sentence when something failed.
    pub message: String,
    /// What follows from the code.
    pub verdict: Verdict,
}

/// What becomes of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is over.
    Ended(Status),
    /// It is to be tried again.
    Again,
}

/// Judges the end of an attempt by the task's exit actions.
pub(super) fn judge(end: &End, actions: &ExitActions) -> Outcome {
    let (code, message) = code_and_message(end);
    let verdict = match end.stopped {
        Some(Stop::User) => Verdict::Ended(Status::FailedCanceled),
        Some(Stop::Timeout) => Verdict::Ended(Status::FailedExecTimeout),
        None => match actions.action(u64::try_from(code).unwrap_or(0)) {
            ExitAction::Complete => Verdict::Ended(Status::Completed),
            ExitAction::Fail => Verdict::Ended(Status::Failed),
            ExitAction::Reschedule => Verdict::Again,
        },
    };
    Outcome { code, message, verdict }
}

/// The highest code of the pod's containers, as the service takes it.
fn code_and_message(end: &End) -> (i32, String) {
    let command = end.command_code.unwrap_or(KILLED);
    let complaints = complaints(end);
    let Some(summary) = &end.summary else {
        let how = match (end.sidecar.code(), end.sidecar.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "no status".to_owned(),
        };
        let code = SIDECAR_BASE + end.sidecar.code().unwrap_or(KILLED);
        return (code, join(&format!("the sidecar ended early ({how})"), &complaints));
    };
    if summary.code != 0 {
        return (SIDECAR_BASE + i32::from(summary.code), join(&summary.message, &complaints));
    }
    match command {
        0 => (0, String::new()),
        code => (code, join(&format!("the command ended with code {code}"), &complaints)),
    }
}

/// What the roles said, without what the sidecar's sentence says already.
fn complaints(end: &End) -> String {
    let sentence = end.summary.as_ref().map_or("", |summary| summary.message.as_str());
    let lines = end.complaints.iter().flat_map(|text| text.lines());
    let new = lines.filter(|line| sentence.is_empty() || !line.ends_with(sentence));
    new.collect::<Vec<_>>().join("\n  ")
}

fn join(message: &str, complaints: &str) -> String {
    if complaints.is_empty() { message.to_owned() } else { format!("{message}\n  {complaints}") }
}
