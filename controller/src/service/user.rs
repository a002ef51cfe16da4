//! Users' calls: start a terminal, a port-forward, a webserver, an rsync.
//!
//! Each makes one action (or several) with a fresh key; the user dials the
//! router under it, the sidecar gets it over its logger connection.

use super::http::Call;
use super::ledger::Ledger;
use super::refusal::{Field, Refusal, unprocessable};
use super::reply::{Reply, detail, json};
use super::{Shared, TaskKey, TaskStatus, WorkflowStatus};
use http::StatusCode;
use osmo_protocol::logger::{Action, Route};
use serde::Serialize;
use std::collections::BTreeMap;

/// Ports that one call may ask for.
const PORTS_MAX: usize = 1000;

pub(crate) fn answer(call: &Call, workflow: &str, what: &[&str], shared: &Shared) -> Reply {
    let order = match Order::read(call, what) {
        Ok(Some(order)) => order,
        Ok(None) => return detail(StatusCode::NOT_FOUND, "Not Found"),
        Err(missing) => return unprocessable(&[missing]),
    };
    let address = format!("ws://{}", shared.address);
    let mut ledger = shared.ledger();
    match order.place(workflow, &address, &mut ledger) {
        Ok(routes) => json(StatusCode::OK, serde_json::to_string(&routes).unwrap_or_default()),
        Err(refusal) => refusal.reply(),
    }
}

/// Where the user shall dial.
#[derive(Serialize)]
#[serde(untagged)]
enum Routes {
    One(Route),
    OfPorts(Vec<Route>),
    OfTasks(BTreeMap<String, Route>),
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
    fn read(call: &'a Call, what: &[&'a str]) -> Result<Option<Self>, Field> {
        let parameter = |name| call.parameter(name).ok_or_else(|| Field::missing(&["query", name]));
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

    fn place(&self, workflow: &str, address: &str, ledger: &mut Ledger) -> Result<Routes, Refusal> {
        open(workflow, ledger)?;
        match self {
            Self::Exec { task, command } => {
                let key = running(workflow, task, ledger)?;
                push(&key, ledger, route(address, "EXEC"), exec(command)).map(Routes::One)
            }
            Self::ExecGroup { group, command } => {
                let members = members(workflow, group, ledger);
                if members.is_empty() {
                    let message = format!("Group {group} of workflow {workflow} is not found.");
                    return Err(Refusal::user(StatusCode::BAD_REQUEST, message, Some(workflow)));
                }
                let mut routes = BTreeMap::new();
                for key in members {
                    let route = push(&key, ledger, route(address, "EXEC"), exec(command))?;
                    routes.insert(key.task, route);
                }
                Ok(Routes::OfTasks(routes))
            }
            Self::PortForward { task, ports, use_udp } => {
                let key = running(workflow, task, ledger)?;
                let use_udp = *use_udp;
                let pushed = ports.iter().map(|&task_port| {
                    let action = |route| Action::PortForward { route, task_port, use_udp };
                    push(&key, ledger, route(address, "PORTFORWARD"), action)
                });
                pushed.collect::<Result<_, _>>().map(Routes::OfPorts)
            }
            Self::WebServer { task, port } => {
                let key = running(workflow, task, ledger)?;
                let action = |route| Action::WebServer { route, task_port: *port };
                push(&key, ledger, route(address, "WEBSERVER"), action).map(Routes::One)
            }
            Self::Rsync { task } => {
                let key = running(workflow, task, ledger)?;
                let action = |route| Action::Rsync { route, enable_telemetry: false };
                push(&key, ledger, route(address, "RSYNC"), action).map(Routes::One)
            }
        }
    }
}

fn exec(command: &str) -> impl Fn(Route) -> Action {
    move |route| Action::Exec { route, entry_command: command.to_owned() }
}

fn route(address: &str, kind: &str) -> Route {
    let key = format!("{kind}-{}", uuid::Uuid::new_v4().simple());
    Route { router_address: address.to_owned(), key, cookie: String::new() }
}

/// Queues the action that `route` leads to, and gives the route to the user.
fn push(
    key: &TaskKey,
    ledger: &mut Ledger,
    route: Route,
    action: impl Fn(Route) -> Action,
) -> Result<Route, Refusal> {
    if ledger.push_action(key, Some(action(route.clone()))) {
        return Ok(route);
    }
    let message = format!("Task {} has too many actions waiting for it.", key.task);
    Err(Refusal::user(StatusCode::TOO_MANY_REQUESTS, message, Some(&key.workflow)))
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
fn ports(call: &Call) -> Result<Vec<u16>, Field> {
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
    if ports.is_empty() { Err(Field::missing(&["query", "task_ports"])) } else { Ok(ports) }
}

fn not_a_port(name: &str, text: &str) -> Field {
    let problem = "Input should be a port, or a range of at most 1000";
    Field::new("value_error", &["query", name], problem, text)
}
