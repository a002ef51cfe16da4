//! The token call. The task's status is looked at before its token.

use super::auth::Role;
use super::config::TokenApplication;
use super::http::Call;
use super::refusal::{Field, Refusal, unprocessable};
use super::reply::{Reply, detail, json, text};
use super::{Shared, TaskKey, TaskStatus};
use http::{Method, StatusCode};
use osmo_protocol::token::{REFRESH_TOKEN_LEN, TokenRequest};
use serde::Serialize;
use serde_json::{Map, Value};

/// An answer without a reason is a success.
#[derive(Default, Serialize)]
struct Answer {
    token: Option<String>,
    expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

pub(crate) fn answer(call: &Call, shared: &Shared) -> Reply {
    let asked = match Asked::read(call) {
        Ok(asked) => asked,
        Err(missing) => return unprocessable(&missing),
    };
    match judge(&asked, shared) {
        Ok(()) => {
            let (token, expires_at) = shared.keys.issue(Role::Sidecar);
            let answer = Answer { token: Some(token), expires_at: Some(expires_at), error: None };
            json(StatusCode::OK, serde_json::to_string(&answer).unwrap_or_default())
        }
        Err(Fault::State(error)) => {
            detail(StatusCode::BAD_REQUEST, Answer { error: Some(error), ..Answer::default() })
        }
        Err(Fault::Wrong(message)) => match shared.config.token_application {
            TokenApplication::Core => Refusal::user(StatusCode::BAD_REQUEST, message, None).reply(),
            TokenApplication::Logger => {
                text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
        },
    }
}

struct Asked {
    group: String,
    key: TaskKey,
    token: String,
}

enum Fault {
    State(&'static str),
    Wrong(String),
}

impl Asked {
    fn read(call: &Call) -> Result<Self, Vec<Field>> {
        let mut missing = Vec::new();
        let mut parameter = |name: &str| match call.parameter(name) {
            Some(value) => value.to_owned(),
            None => {
                missing.push(Field::missing(&["query", name]));
                String::new()
            }
        };
        let workflow = parameter("workflow_id");
        let group = parameter("group_name");
        let task = parameter("task_name");
        let by_query = (call.method == Method::GET).then(|| parameter("refresh_token"));
        let retry = call.parameter("retry_id").unwrap_or("0");
        let number = retry.parse();
        if number.is_err() {
            missing.push(Field::no_integer("retry_id", retry));
        }
        let token = by_query.map_or_else(|| body_token(&call.body), Ok);
        match (token, number) {
            (Ok(token), Ok(retry)) if missing.is_empty() => {
                Ok(Self { group, key: TaskKey { workflow, task, retry }, token })
            }
            (token, _) => {
                missing.extend(token.err());
                Err(missing)
            }
        }
    }
}

fn body_token(body: &[u8]) -> Result<String, Field> {
    if body.is_empty() {
        return Err(Field::missing(&["body"]));
    }
    if let Ok(request) = serde_json::from_slice::<TokenRequest>(body) {
        return Ok(request.token);
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(sent) if sent.get("token").is_none() => {
            Err(Field::new("missing", &["body", "token"], "Field required", sent))
        }
        Ok(sent) => {
            let problem = "Input should be a valid string";
            Err(Field::new("string_type", &["body", "token"], problem, sent["token"].clone()))
        }
        Err(_) => Err(Field::new("json_invalid", &["body"], "JSON decode error", Map::new())),
    }
}

fn judge(asked: &Asked, shared: &Shared) -> Result<(), Fault> {
    let TaskKey { workflow, task: name, .. } = &asked.key;
    let ledger = shared.ledger();
    let known = ledger.tasks.get(&asked.key).filter(|task| task.identity.group == asked.group);
    let Some(task) = known else {
        let message = format!("Workflow {workflow} with task {name} does not exist");
        return Err(Fault::Wrong(message));
    };
    if task.status.is_finished() {
        return Err(Fault::State("FINISHED"));
    }
    if task.status == TaskStatus::Pending {
        return Err(Fault::State("PENDING"));
    }
    let len = asked.token.chars().count();
    if len != REFRESH_TOKEN_LEN {
        return Err(Fault::Wrong(format!("Refresh token has invalid length {len}")));
    }
    if asked.token != task.refresh_token {
        let message = format!("Workflow {workflow} with task {name} refresh token is invalid");
        return Err(Fault::Wrong(message));
    }
    Ok(())
}
