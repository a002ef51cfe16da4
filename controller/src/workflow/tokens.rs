//! Tokens: `{{output}}` and its kind, which stand for things known only when a
//! task runs.
//!
//! They look like templates and are none: they are hidden while the template is
//! rendered, and replaced in the strings of a task when it starts. Only the
//! exact forms count, without blanks inside the braces. What cannot be resolved
//! stays as it is written, and is a warning when the file is loaded.

use super::model::{
    Checkpoint, Contents, Credential, CredentialForm, File, Input, InputSource, Kpi, Output, Task,
    Text,
};

const OPEN: char = '\u{F8F2}';
const CLOSE: char = '\u{F8F3}';
/// A task's name and a workflow's before it fit several times; the bound keeps
/// a file full of open braces from being searched to its end at each of them.
const TOKEN_BYTES_MAX: usize = 512;

/// What the tokens of one task stand for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenTable {
    /// `{{workflow_id}}`: see [`workflow_id`].
    pub workflow_id: String,
    /// `{{output}}`: the output directory, without a slash at its end.
    pub output: String,
    /// `{{input:N}}`: the directory of each entry of `inputs`, in its order.
    pub inputs: Vec<String>,
    /// `{{host:TASK}}`: name and address of each task of the same group.
    pub hosts: Vec<(String, String)>,
}

/// The id of the `n`-th run of a workflow of this name.
pub fn workflow_id(name: &str, n: u64) -> String {
    format!("{name}-{n}")
}

/// The task with every token replaced that `table` knows.
pub fn resolve(task: &Task, table: &TokenTable) -> Task {
    let inputs = &task.inputs;
    map_texts(task, &|text: &str| {
        replace(text, |token| match token {
            Token::Output => Some(table.output.clone()),
            Token::WorkflowId => Some(table.workflow_id.clone()),
            Token::Uuid => None,
            Token::Input(name) => {
                input_index(name, inputs).and_then(|index| table.inputs.get(index)).cloned()
            }
            Token::Host(name) => {
                table.hosts.iter().find(|(task, _)| task == name).map(|(_, host)| host.clone())
            }
        })
    })
}

/// The tokens in `text` that this task cannot resolve, as written.
pub(super) fn unresolved(text: &str, task: &Task, group: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for_each(text, |written, token| {
        let known = match token {
            Token::Output | Token::WorkflowId => true,
            Token::Uuid => false,
            Token::Input(name) => input_index(name, &task.inputs).is_some(),
            Token::Host(name) => group.iter().any(|task| task == name),
        };
        if !known {
            found.push(written.to_owned());
        }
    });
    found
}

/// `{{input:N}}` by position, `{{input:TASK}}` by the task's name: the later of two.
fn input_index(name: &str, inputs: &[Input]) -> Option<usize> {
    let by_name = inputs.iter().rposition(|input| match &input.source {
        InputSource::Task { name: task, .. } => task == name,
        InputSource::Url(_) => false,
    });
    by_name.or_else(|| name.parse().ok().filter(|index| *index < inputs.len()))
}

enum Token<'t> {
    Output,
    WorkflowId,
    Uuid,
    Input(&'t str),
    Host(&'t str),
}

/// The token at the start of `text`, and its length in bytes.
fn token_at(text: &str) -> Option<(Token<'_>, usize)> {
    let inner = text.strip_prefix("{{")?;
    let end = inner.bytes().take(TOKEN_BYTES_MAX).position(|byte| byte == b'}')?;
    let name = &inner[..end];
    if !inner[end..].starts_with("}}") {
        return None;
    }
    let token = match name {
        "output" => Token::Output,
        "workflow_id" => Token::WorkflowId,
        "uuid" => Token::Uuid,
        _ => match name.split_once(':')? {
            ("input", of) if !of.is_empty() => Token::Input(of),
            ("host", of) if !of.is_empty() => Token::Host(of),
            _ => return None,
        },
    };
    Some((token, end + 4))
}

fn for_each<'t>(text: &'t str, mut each: impl FnMut(&'t str, Token<'t>)) {
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        rest = &rest[at..];
        match token_at(rest) {
            Some((token, length)) => {
                each(&rest[..length], token);
                rest = &rest[length..];
            }
            None => rest = &rest[1..],
        }
    }
}

fn replace(text: &str, value: impl Fn(Token<'_>) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match token_at(rest) {
            Some((token, length)) => {
                match value(token) {
                    Some(value) => out.push_str(&value),
                    None => out.push_str(&rest[..length]),
                }
                rest = &rest[length..];
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Takes the tokens out of a template; [`restore`] puts them back.
pub(super) fn hide(text: &str) -> (String, Vec<String>) {
    let mut kept = Vec::new();
    if text.contains([OPEN, CLOSE]) {
        // Text that already holds these characters could not be restored.
        return (text.to_owned(), kept);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match token_at(rest) {
            Some((_, length)) => {
                out.push(OPEN);
                out.push_str(&kept.len().to_string());
                out.push(CLOSE);
                kept.push(rest[..length].to_owned());
                length
            }
            None => {
                out.push('{');
                1
            }
        };
        rest = &rest[length..];
    }
    out.push_str(rest);
    (out, kept)
}

/// The inverse of [`hide`], after rendering.
pub(super) fn restore(text: &str, kept: &[String]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find(OPEN) {
        out.push_str(&rest[..open]);
        rest = &rest[open + OPEN.len_utf8()..];
        let Some(close) = rest.find(CLOSE) else { break };
        let token = rest[..close].parse().ok().and_then(|index: usize| kept.get(index));
        out.push_str(token.map_or("", String::as_str));
        rest = &rest[close + CLOSE.len_utf8()..];
    }
    out.push_str(rest);
    out
}

/// The same text with the tokens made plain, for checks of form.
pub(super) fn neutral(text: &str) -> String {
    replace(text, |_| Some("x".to_owned()))
}

/// Every string of a task in which tokens count.
pub(super) fn texts(task: &Task) -> Vec<&Text> {
    let mut all: Vec<&Text> = task.command.iter().chain(&task.args).collect();
    all.extend(task.environment.iter().flat_map(|(name, value)| [name, value]));
    for input in &task.inputs {
        if let InputSource::Url(url) = &input.source {
            all.push(url);
        }
        all.push(&input.regex);
    }
    all.extend(task.outputs.iter().flat_map(|output| [&output.url, &output.regex]));
    all.extend(task.kpis.iter().map(|kpi| &kpi.path));
    all.extend(task.checkpoints.iter().flat_map(|c| [&c.path, &c.url, &c.regex]));
    for file in &task.files {
        all.push(&file.path);
        if let Contents::Text(text) = &file.contents {
            all.push(text);
        }
    }
    all.extend(&task.volume_mounts);
    all.extend(task.credentials.iter().filter_map(|credential| match &credential.form {
        CredentialForm::Directory(path) => Some(path),
        CredentialForm::Environment(_) => None,
    }));
    all
}

fn map_texts(task: &Task, change: &dyn Fn(&str) -> String) -> Task {
    let text = |old: &Text| Text { text: change(&old.text), place: old.place };
    let texts = |old: &[Text]| old.iter().map(text).collect::<Vec<_>>();
    Task {
        command: texts(&task.command),
        args: texts(&task.args),
        environment: task.environment.iter().map(|(n, v)| (text(n), text(v))).collect(),
        credentials: task
            .credentials
            .iter()
            .map(|old| Credential {
                name: old.name.clone(),
                form: match &old.form {
                    CredentialForm::Directory(path) => CredentialForm::Directory(text(path)),
                    form @ CredentialForm::Environment(_) => form.clone(),
                },
            })
            .collect(),
        inputs: task
            .inputs
            .iter()
            .map(|input| Input {
                source: match &input.source {
                    InputSource::Url(url) => InputSource::Url(text(url)),
                    source @ InputSource::Task { .. } => source.clone(),
                },
                regex: text(&input.regex),
                place: input.place,
            })
            .collect(),
        outputs: task
            .outputs
            .iter()
            .map(|output| Output { url: text(&output.url), regex: text(&output.regex) })
            .collect(),
        kpis: task
            .kpis
            .iter()
            .map(|kpi| Kpi { index: kpi.index.clone(), path: text(&kpi.path) })
            .collect(),
        checkpoints: task
            .checkpoints
            .iter()
            .map(|old| Checkpoint {
                path: text(&old.path),
                url: text(&old.url),
                frequency: old.frequency,
                regex: text(&old.regex),
            })
            .collect(),
        files: task
            .files
            .iter()
            .map(|file| File {
                path: text(&file.path),
                contents: match &file.contents {
                    Contents::Text(old) => Contents::Text(text(old)),
                    bytes @ Contents::Bytes(_) => bytes.clone(),
                },
            })
            .collect(),
        volume_mounts: texts(&task.volume_mounts),
        ..task.clone()
    }
}
