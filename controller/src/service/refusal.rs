//! How calls are refused: the real service's two forms, with its order of keys.
//!
//! ```text
//! {"message":"Workflow nope is not found.","error_code":"DATABASE","workflow_id":null}
//! {"detail":[{"type":"missing","loc":["query","task_name"],"msg":"Field required","input":null}]}
//! ```

use super::reply::{Reply, detail, json};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

/// The first form: the service's own sentence.
pub(crate) struct Refusal {
    status: StatusCode,
    body: Body,
}

#[derive(Serialize)]
struct Body {
    message: String,
    error_code: &'static str,
    workflow_id: Option<String>,
}

impl Refusal {
    /// What a user asks for cannot be.
    pub(crate) fn user(status: StatusCode, message: String, workflow: Option<&str>) -> Self {
        let workflow_id = workflow.map(str::to_owned);
        Self { status, body: Body { message, error_code: "USER", workflow_id } }
    }

    /// There is no such workflow.
    pub(crate) fn unknown(workflow: &str) -> Self {
        let message = format!("Workflow {workflow} is not found.");
        let body = Body { message, error_code: "DATABASE", workflow_id: None };
        Self { status: StatusCode::BAD_REQUEST, body }
    }

    pub(crate) fn reply(self) -> Reply {
        json(self.status, serde_json::to_string(&self.body).unwrap_or_default())
    }
}

/// An entry of the second form: what the framework says of a parameter.
#[derive(Serialize)]
pub(crate) struct Field {
    r#type: &'static str,
    loc: Vec<String>,
    msg: &'static str,
    input: Value,
}

impl Field {
    pub(crate) fn new(
        kind: &'static str,
        at: &[&str],
        problem: &'static str,
        input: impl Into<Value>,
    ) -> Self {
        let loc = at.iter().map(|&part| part.to_owned()).collect();
        Self { r#type: kind, loc, msg: problem, input: input.into() }
    }

    /// It is not there.
    pub(crate) fn missing(at: &[&str]) -> Self {
        Self::new("missing", at, "Field required", Value::Null)
    }

    /// It is no whole number.
    pub(crate) fn no_integer(name: &str, text: &str) -> Self {
        let problem = "Input should be a valid integer, unable to parse string as an integer";
        Self::new("int_parsing", &["query", name], problem, text)
    }
}

pub(crate) fn unprocessable(fields: &[Field]) -> Reply {
    detail(StatusCode::UNPROCESSABLE_ENTITY, fields)
}
