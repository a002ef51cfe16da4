//! Users' calls: start a terminal, a port-forward, a webserver, an rsync.
//!
//! Each makes one action (or several) with a fresh key; the user dials the
//! router under it, the sidecar gets it over its logger connection.

use super::http::Call;
use super::ledger::Ledger;
use super::reply::{Reply, detail, json};
use super::{Shared, TaskKey, TaskStatus, WorkflowStatus};
use http::StatusCode;
use osmo_protocol::logger::{Action, Route};
use serde_json::{Value, json as object};

/// Ports that one call may ask for.
const PORTS_MAX: usize = 1000;

pub(crate) fn answer(call: &Call, workflow: &str, what: &[&str], shared: &Shared) -> Reply {
    let order = match Order::read(call, what) {
        Ok(Some(order)) => order,
        Ok(None) => return detail(StatusCode::NOT_FOUND, "Not Found"),
        Err(missing) => return detail(StatusCode::UNPROCESSABLE_ENTITY, [missing]),
    };
    let address = format!("ws://{}", shared.address);
    let mut ledger = shared.ledger();
    match order.place(workflow, &address, &mut ledger) {
        Ok(reply) => json(StatusCode::OK, reply.to_string()),
        Err(refusal) => refusal.reply(),
    }
}

/// What a user asks for.
enum Order<'a> {
    Exec { task: &'a str, command: &'a str },
    ExecGroup { group: &'a str, command: &'a str },
    PortForward { task: &'a str, ports: Vec<u16>, use_udp: bool },
    WebServer { task: &'a str, port: u16 },
    Rsync { task: &'a str },
}

impl<'a> Order<'a> {
    fn read(call: &'a Call, what: &[&'a str]) -> Result<Option<Self>, Value> {
        let parameter = |name| call.parameter(name).ok_or_else(|| missing(name));
        Ok(Some(match what {
            ["exec", "task", task] => Self::Exec { task, command: parameter("entry_command")? },
            ["exec", "group", group] => {
                Self::ExecGroup { group, command: parameter("entry_command")? }
            }
            ["portforward", task] => Self::PortForward {
                task,
                ports: ports(call)?,
                use_udp: matches!(call.parameter("use_udp"), Some("true" | "True" | "1")),
            },
            ["webserver", task] => {
                let port = parameter("task_port")?;
                Self::WebServer {
                    task,
                    port: port.parse().map_err(|_| not_a_port("task_port", port))?,
                }
            }
            ["rsync", "task", task] => Self::Rsync { task },
            _ => return Ok(None),
        }))
    }

    fn place(&self, workflow: &str, address: &str, ledger: &mut Ledger) -> Result<Value, Refusal> {
        open(workflow, ledger)?;
        match self {
            Self::Exec { task, command } => {
                let key = running(workflow, task, ledger)?;
                push(&key, ledger, exec(address, command))
            }
            Self::ExecGroup { group, command } => {
                let members = members(workflow, group, ledger);
                if members.is_empty() {
                    let message = format!("Group {group} of workflow {workflow} is not found.");
                    return Err(Refusal::user(StatusCode::BAD_REQUEST, message, Some(workflow)));
                }
                let mut replies = serde_json::Map::new();
                for key in members {
                    let reply = push(&key, ledger, exec(address, command))?;
                    replies.insert(key.task, reply);
                }
                Ok(Value::Object(replies))
            }
            Self::PortForward { task, ports, use_udp } => {
                let key = running(workflow, task, ledger)?;
                let pushed = ports.iter().map(|&task_port| {
                    let route = route(address, "PORTFORWARD");
                    let use_udp = *use_udp;
                    push(&key, ledger, Action::PortForward { route, task_port, use_udp })
                });
                pushed.collect()
            }
            Self::WebServer { task, port } => {
                let key = running(workflow, task, ledger)?;
                let route = route(address, "WEBSERVER");
                push(&key, ledger, Action::WebServer { route, task_port: *port })
            }
            Self::Rsync { task } => {
                let key = running(workflow, task, ledger)?;
                let route = route(address, "RSYNC");
                push(&key, ledger, Action::Rsync { route, enable_telemetry: false })
            }
        }
    }
}

fn exec(address: &str, command: &str) -> Action {
    Action::Exec { route: route(address, "EXEC"), entry_command: command.to_owned() }
}

fn route(address: &str, kind: &str) -> Route {
    let key = format!("{kind}-{}", uuid::Uuid::new_v4().simple());
    Route { router_address: address.to_owned(), key, cookie: String::new() }
}

fn push(key: &TaskKey, ledger: &mut Ledger, action: Action) -> Result<Value, Refusal> {
    let reply = match &action {
        Action::Exec { route, .. }
        | Action::PortForward { route, .. }
        | Action::WebServer { route, .. }
        | Action::Rsync { route, .. } => serde_json::to_value(route).unwrap_or_default(),
        _ => Value::Null,
    };
    if ledger.push_action(key, Some(action)) {
        Ok(reply)
    } else {
        let message = format!("Task {} has too many actions waiting for it.", key.task);
        Err(Refusal::user(StatusCode::TOO_MANY_REQUESTS, message, Some(&key.workflow)))
    }
}

/// The workflow must be under way.
fn open(workflow: &str, ledger: &Ledger) -> Result<(), Refusal> {
    let found = ledger.workflows.get(workflow).ok_or_else(|| Refusal::unknown(workflow))?;
    let (status, message) = match found.status {
        WorkflowStatus::Running => return Ok(()),
        WorkflowStatus::Pending => {
            (StatusCode::TOO_EARLY, format!("Workflow {workflow} is not running yet..."))
        }
        WorkflowStatus::Completed => {
            (StatusCode::GONE, format!("Workflow {workflow} is not running!"))
        }
    };
    Err(Refusal::user(status, message, Some(workflow)))
}

/// The latest attempt of a task, which must be running.
fn running(workflow: &str, task: &str, ledger: &Ledger) -> Result<TaskKey, Refusal> {
    let of_name = |key: &&TaskKey| key.workflow == workflow && key.task == task;
    let found = ledger.tasks.keys().rev().find(of_name);
    let Some((key, found)) = found.and_then(|key| ledger.tasks.get_key_value(key)) else {
        let message = format!("Task {task} of workflow {workflow} is not found.");
        return Err(Refusal::user(StatusCode::BAD_REQUEST, message, Some(workflow)));
    };
    let (status, message) = match found.status {
        TaskStatus::Running => return Ok(key.clone()),
        finished if finished.is_finished() => {
            (StatusCode::NOT_FOUND, format!("Task {task} is not running in workflow {workflow}!"))
        }
        _ => {
            let message = format!("Task {task} is not yet running in workflow {workflow}!");
            (StatusCode::TOO_EARLY, message)
        }
    };
    Err(Refusal::user(status, message, Some(workflow)))
}

fn members(workflow: &str, group: &str, ledger: &Ledger) -> Vec<TaskKey> {
    let all = ledger.tasks.iter().filter(|(key, task)| {
        key.workflow == workflow
            && task.identity.group == group
            && task.status == TaskStatus::Running
    });
    all.map(|(key, _)| key.clone()).collect()
}

/// `task_ports`, repeated, each one port or a range `first-last`.
fn ports(call: &Call) -> Result<Vec<u16>, Value> {
    let mut ports = Vec::new();
    for (_, text) in call.query.iter().filter(|(name, _)| name == "task_ports") {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first), Ok(last)) if first <= last => ports.extend(first..=last),
            _ => return Err(not_a_port("task_ports", text)),
        }
        if ports.len() > PORTS_MAX {
            return Err(not_a_port("task_ports", text));
        }
    }
    if ports.is_empty() { Err(missing("task_ports")) } else { Ok(ports) }
}

fn missing(name: &str) -> Value {
    object!({"type": "missing", "loc": ["query", name], "msg": "Field required", "input": null})
}

fn not_a_port(name: &str, text: &str) -> Value {
    let problem = "Input should be a port, or a range of at most 1000";
    object!({"type": "value_error", "loc": ["query", name], "msg": problem, "input": text})
}

pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    error_code: &'static str,
    workflow: Option<String>,
}

impl Refusal {
    /// There is no such workflow.
    pub(super) fn unknown(workflow: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: format!("Workflow {workflow} is not found."),
            error_code: "DATABASE",
            workflow: None,
        }
    }

    fn user(status: StatusCode, message: String, workflow: Option<&str>) -> Self {
        Self { status, message, error_code: "USER", workflow: workflow.map(str::to_owned) }
    }

    pub(super) fn reply(self) -> Reply {
        let body = object!({
            "message": self.message,
            "error_code": self.error_code,
            "workflow_id": self.workflow,
        });
        json(self.status, body.to_string())
    }
}
