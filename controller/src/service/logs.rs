//! A workflow's lines as text, followed until it has ended.
//!
//! ```text
//! GET /api/workflow/{name}/logs?last_n_lines=&task_name=&retry_id=&query=
//! 2026/01/02 03:04:05 [train] a line of the command
//! 2026/01/02 03:04:06 [train retry-1][osmo] a line of the sidecar
//! ```
//!
//! A reader that is slow finds the oldest lines gone, as all readers do of a
//! bounded log; nothing waits for it.

use super::http::Call;
use super::listen::Lifeline;
use super::refusal::{Field, Refusal, unprocessable};
use super::reply::{Cut, Reply, pieces};
use super::store::LogEntry;
use super::{Shared, TaskKey};
use bytes::Bytes;
use fancy_regex::Regex;
use http::{HeaderValue, Response, StatusCode, header};
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Lines written at once.
const BATCH_LINES: usize = 256;

pub(crate) fn answer(call: &Call, workflow: &str, shared: &Arc<Shared>, life: Lifeline) -> Reply {
    match Question::read(call, workflow, shared) {
        Ok(question) => {
            let (to, body) = pieces();
            let reader = Reader::new(Arc::clone(shared));
            tokio::spawn(life.guard(follow(question, reader, to)));
            let mut reply = Response::new(body);
            let headers = reply.headers_mut();
            let kind = HeaderValue::from_static("text/plain; charset=us-ascii");
            headers.insert(header::CONTENT_TYPE, kind);
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            reply
        }
        Err(refusal) => *refusal,
    }
}

/// Counted while it reads.
struct Reader(Arc<Shared>);

impl Reader {
    fn new(shared: Arc<Shared>) -> Self {
        shared.readers.send_modify(|count| *count += 1);
        Self(shared)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.readers.send_modify(|count| *count -= 1);
    }
}

struct Question {
    workflow: String,
    task: Option<TaskKey>,
    last: Option<usize>,
    pattern: Option<Regex>,
}

impl Question {
    fn read(call: &Call, workflow: &str, shared: &Shared) -> Result<Self, Box<Reply>> {
        let ledger = shared.ledger();
        if !ledger.workflows.contains_key(workflow) {
            return Err(Box::new(Refusal::unknown(workflow).reply()));
        }
        let user = |message: &str| {
            let message = message.to_owned();
            Box::new(Refusal::user(StatusCode::BAD_REQUEST, message, Some(workflow)).reply())
        };
        let retry = call.parameter("retry_id").map(|text| number("retry_id", text)).transpose()?;
        let task = call.parameter("task_name").map(|name| {
            let mut keys = ledger.tasks.keys().rev();
            let found = keys.find(|key| {
                key.workflow == workflow
                    && key.task == name
                    && retry.is_none_or(|retry| i64::from(key.retry) == retry)
            });
            found
                .cloned()
                .ok_or_else(|| user(&format!("Task {name} of workflow {workflow} is not found.")))
        });
        let last = call.parameter("last_n_lines").map(|text| number("last_n_lines", text));
        let last = match last.transpose()? {
            Some(n) if n < 0 => {
                return Err(user("Users should specify positive value for flag -n."));
            }
            Some(0) | None => None,
            Some(n) => usize::try_from(n).ok(),
        };
        let pattern = call
            .parameter("query")
            .filter(|query| !query.is_empty())
            .map(|query| Regex::new(query).map_err(|_| user(&format!("Invalid regex: {query}"))));
        Ok(Self {
            workflow: workflow.to_owned(),
            task: task.transpose()?,
            last,
            pattern: pattern.transpose()?,
        })
    }

    /// A pattern that takes too long to match matches nothing.
    fn wants(&self, line: &str) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(line).unwrap_or(false))
    }
}

async fn follow(question: Question, reader: Reader, to: mpsc::Sender<Result<Bytes, Cut>>) {
    let shared = &reader.0;
    let mut changed = shared.ledger().changes();
    let mut next =
        shared.ledger().first_line(&question.workflow, question.task.as_ref(), question.last);
    loop {
        changed.mark_unchanged();
        let (lines, after, ended) = shared.ledger().lines_from(
            &question.workflow,
            question.task.as_ref(),
            next,
            BATCH_LINES,
        );
        next = after;
        let mut text = String::new();
        for entry in &lines {
            let from = text.len();
            write(&mut text, entry);
            if !question.wants(text[from..].trim_end_matches('\n')) {
                text.truncate(from);
            }
        }
        if !text.is_empty() && to.send(Ok(text.into())).await.is_err() {
            return;
        }
        if !lines.is_empty() {
            continue;
        }
        if ended {
            return;
        }
        tokio::select! {
            changed = changed.changed() => if changed.is_err() { return },
            () = to.closed() => return,
        }
    }
}

/// As the real service words a line. Control lines without text are left out.
fn write(out: &mut String, entry: &LogEntry) {
    let is_control = !matches!(entry.io_type, "STDOUT" | "STDERR");
    if is_control && entry.text.is_empty() {
        return;
    }
    let date = entry.time.get(..19).unwrap_or(&entry.time).replace('-', "/").replace('T', " ");
    let retry = match entry.retry_id.as_str() {
        "0" => String::new(),
        retry => format!(" retry-{retry}"),
    };
    let mark = if is_control { "[osmo]" } else { "" };
    let _ = writeln!(out, "{date} [{}{retry}]{mark} {}", entry.source, entry.text);
}

fn number(name: &str, text: &str) -> Result<i64, Box<Reply>> {
    text.parse().map_err(|_| Box::new(unprocessable(&[Field::no_integer(name, text)])))
}
