//! `inputs`, `outputs`, `kpis`, `checkpoint`.

use std::time::Duration;

use super::super::diagnostic::Sink;
use super::super::model::{Checkpoint, Input, InputSource, Kpi, Output, Text};
use super::cursor::{Cursor, Fields};
use super::{form, quantity};

pub(super) fn input(at: &Cursor<'_>, sink: &mut Sink) -> Option<Input> {
    let fields = at.fields(&["task", "url", "regex"], sink)?;
    let regex = regex(&fields, at, sink);
    let source = match (fields.get("task"), fields.get("url")) {
        (Some(task), None) => task_source(&task, sink)?,
        (None, Some(url)) => {
            let text = url.text(sink)?;
            form::url(&text, &url.path, sink);
            InputSource::Url(text)
        }
        (Some(_), Some(_)) => {
            at.error(
                sink,
                "an input has one source, here are two".to_owned(),
                "keep `task` or `url`",
            );
            return None;
        }
        (None, None) => {
            at.error(
                sink,
                "an input needs a source".to_owned(),
                "add `task: NAME` or `url: s3://…`",
            );
            return None;
        }
    };
    Some(Input { source, regex, place: at.place() })
}

fn task_source(at: &Cursor<'_>, sink: &mut Sink) -> Option<InputSource> {
    let text = at.text(sink)?.text;
    let (workflow, name) = match text.split_once(':') {
        Some((workflow, name)) => (Some(workflow.to_owned()), name.to_owned()),
        None => (None, text),
    };
    if name.is_empty() || workflow.as_deref() == Some("") {
        return at.expected(sink, "a task's name or WORKFLOW_ID:NAME", "");
    }
    Some(InputSource::Task { workflow, name })
}

pub(super) fn output(at: &Cursor<'_>, sink: &mut Sink) -> Option<Output> {
    let fields = at.fields(&["url", "regex"], sink)?;
    Some(Output { url: url(&fields, at, sink), regex: regex(&fields, at, sink) })
}

pub(super) fn kpi(at: &Cursor<'_>, sink: &mut Sink) -> Option<Kpi> {
    let fields = at.fields(&["index", "path"], sink)?;
    let index = fields.required_text("index", sink).text;
    Some(Kpi { index, path: fields.required_text("path", sink) })
}

pub(super) fn checkpoint(at: &Cursor<'_>, sink: &mut Sink) -> Option<Checkpoint> {
    let fields = at.fields(&["path", "url", "frequency", "regex"], sink)?;
    let path = checkpoint_path(fields.required_text("path", sink), at, sink);
    let frequency = fields
        .required("frequency", sink)
        .and_then(|cursor| quantity::duration(&cursor, false, sink))
        .map_or(Duration::ZERO, |pause| Duration::from_secs(pause.as_secs()));
    Some(Checkpoint {
        path,
        url: url(&fields, at, sink),
        frequency,
        regex: regex(&fields, at, sink),
    })
}

fn checkpoint_path(path: Text, at: &Cursor<'_>, sink: &mut Sink) -> Text {
    let key = format!("{}.path", at.path);
    if path.text.contains(';') {
        sink.error(path.place, &key, "the path holds a `;`", "rename the folder");
    }
    // A token's value is absolute already.
    if path.text.is_empty() || path.text.starts_with('/') || path.text.starts_with("{{") {
        return path;
    }
    let text = format!("/{}", path.text);
    sink.warn(
        path.place,
        &key,
        format!("{:?} is taken as {text:?}, from the root", path.text),
        format!("write {{{{output}}}}/{} to mean the output directory", path.text),
    );
    Text { text, place: path.place }
}

fn url(fields: &Fields<'_>, at: &Cursor<'_>, sink: &mut Sink) -> Text {
    let text = fields.required_text("url", sink);
    form::url(&text, &format!("{}.url", at.path), sink);
    text
}

fn regex(fields: &Fields<'_>, at: &Cursor<'_>, sink: &mut Sink) -> Text {
    let text = fields.text_or_empty("regex", sink);
    form::regex(&text, &format!("{}.regex", at.path), sink);
    text
}
