//! Asking the core for a session, with patience for a task that does not run
//! yet.

use std::time::{Duration, Instant};

use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::service::{Service, encode};
use super::trouble::Trouble;
use crate::progress::say;

const POLL: Duration = Duration::from_secs(2);

/// `POST /api/workflow/{workflow}/{what}`; waits up to `wait` while the task
/// does not run yet, and says so once.
pub(crate) async fn place<T: DeserializeOwned>(
    service: &Service,
    workflow: &str,
    what: &str,
    wait: Duration,
) -> Result<T, Trouble> {
    let path = format!("/api/workflow/{}/{what}", encode(workflow));
    let begun = Instant::now();
    let mut told = false;
    loop {
        match service.ask(&Method::POST, &path).await {
            Ok(answer) => return read(answer),
            Err(Trouble::NotYet(said)) if begun.elapsed() + POLL < wait => {
                if !std::mem::replace(&mut told, true) {
                    say(&format!("{said} Waiting up to {} s.", wait.as_secs()));
                }
                tokio::time::sleep(POLL).await;
            }
            Err(Trouble::NotYet(said)) => {
                let sentence =
                    format!("{said} Not within {} s; --wait waits longer.", wait.as_secs());
                return Err(Trouble::NotYet(sentence));
            }
            Err(trouble) => return Err(trouble),
        }
    }
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Trouble> {
    serde_json::from_value(answer)
        .map_err(|error| Trouble::Refused(format!("the service's answer makes no sense: {error}")))
}

/// The task that is meant when none is named.
pub(crate) async fn task(
    service: &Service,
    workflow: &str,
    named: Option<String>,
) -> Result<String, Trouble> {
    if let Some(task) = named {
        return Ok(task);
    }
    let path = format!("/api/workflow/{}", encode(workflow));
    let answer = service.ask(&Method::GET, &path).await?;
    let tasks = answer.pointer("/groups/0/tasks").and_then(Value::as_array);
    let tasks = tasks.map(Vec::as_slice).unwrap_or_default();
    let lead = tasks.iter().find(|task| task.get("lead").and_then(Value::as_bool) == Some(true));
    let task = lead.or(if tasks.len() == 1 { tasks.first() } else { None });
    let name = task.and_then(|task| task.get("name")).and_then(Value::as_str);
    name.map(str::to_owned).ok_or_else(|| {
        let why = "its first group has no lead task; name it behind the workflow";
        Trouble::Usage(format!("which task of {workflow}? {why}"))
    })
}
