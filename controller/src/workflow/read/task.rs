//! One task.

use std::path::Path;

use super::super::diagnostic::Sink;
use super::super::model::{Credential, CredentialForm, ExitActions, Resources, Task, Text};
use super::super::text::scalar::Scalar;
use super::super::text::yaml::Value;
use super::cursor::{Cursor, Fields};
use super::spec::ResourceMap;
use super::{data, files, form, quantity};

pub(super) const TASK_KEYS: &[&str] = &[
    "name",
    "image",
    "command",
    "args",
    "environment",
    "credentials",
    "inputs",
    "outputs",
    "kpis",
    "files",
    "resource",
    "lead",
    "exitActions",
    "checkpoint",
    "volumeMounts",
    "privileged",
    "hostNetwork",
    "downloadType",
    "cacheSize",
    "resources",
    "backend",
];

/// What every task of a file shares.
pub(super) struct Shared<'a> {
    pub folder: &'a Path,
    pub resources: &'a ResourceMap,
}

pub(super) fn task(at: &Cursor<'_>, shared: &Shared<'_>, sink: &mut Sink) -> Option<Task> {
    let fields = at.fields(TASK_KEYS, sink)?;
    let key = |name: &str| format!("{}.{name}", at.path);
    let name = fields.required_text("name", sink);
    form::name(&name, &key("name"), sink);
    refuse_reserved(&name, &key("name"), sink);
    let image = fields.required_text("image", sink);
    if fields.get("image").is_some() {
        form::image(&image, &key("image"), sink);
    }
    check_unused(&fields, sink);
    Some(Task {
        command: command(&fields, sink),
        args: fields.texts("args", sink),
        environment: environment(&fields, sink),
        credentials: credentials(&fields, sink),
        inputs: collect(&fields, "inputs", data::input, sink),
        outputs: collect(&fields, "outputs", data::output, sink),
        kpis: collect(&fields, "kpis", data::kpi, sink),
        checkpoints: collect(&fields, "checkpoint", data::checkpoint, sink),
        files: files::files(&fields.items("files", sink), shared.folder, sink),
        resources: resources(&fields, &name, shared, sink),
        exit_actions: fields
            .get("exitActions")
            .map_or_else(ExitActions::default, |at| quantity::exit_actions(&at, sink)),
        volume_mounts: fields.texts("volumeMounts", sink),
        lead: fields.boolean("lead", false, sink),
        privileged: fields.boolean("privileged", false, sink),
        host_network: fields.boolean("hostNetwork", false, sink),
        name: name.text,
        image: image.text,
        place: at.place(),
    })
}

fn refuse_reserved(name: &Text, key: &str, sink: &mut Sink) {
    let reduced: String = name.text.to_lowercase().replace('_', "-").chars().take(63).collect();
    if reduced == "osmo-ctrl" {
        sink.error(
            name.place,
            key,
            "restricted name: osmo-ctrl is the sidecar's",
            "choose another",
        );
    }
}

fn collect<'n, T>(
    fields: &Fields<'n>,
    key: &str,
    read: impl Fn(&Cursor<'n>, &mut Sink) -> Option<T>,
    sink: &mut Sink,
) -> Vec<T> {
    fields.items(key, sink).iter().filter_map(|item| read(item, sink)).collect()
}

fn command(fields: &Fields<'_>, sink: &mut Sink) -> Vec<Text> {
    let Some(at) = fields.required("command", sink) else { return Vec::new() };
    match &at.node.value {
        Value::List(items) if items.is_empty() => {
            at.error(
                sink,
                "at least one command is needed".to_owned(),
                "write `command: [PROGRAM]`",
            );
            Vec::new()
        }
        Value::List(_) => at.texts(sink),
        _ => {
            let remedy = "write `command: [PROGRAM, ARGUMENT]`; a shell line is [sh, -c, 'LINE']";
            at.expected(sink, "a list", remedy).unwrap_or_default()
        }
    }
}

fn environment(fields: &Fields<'_>, sink: &mut Sink) -> Vec<(Text, Text)> {
    let Some(at) = fields.get("environment") else { return Vec::new() };
    let mut all = Vec::new();
    for (entry, value) in at.entries(sink) {
        if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
            let remedy = "use letters, digits and _";
            sink.error(entry.place, &value.path, "this is no name of a variable", remedy);
            continue;
        }
        let name = Text { text: entry.key.clone(), place: entry.place };
        let value = match &value.node.value {
            // What the command sees is Python's print of a boolean.
            Value::Scalar(Scalar::Bool(word)) => Some(Text {
                text: super::super::text::python::boolean(*word).to_owned(),
                place: value.place(),
            }),
            _ => value.text(sink),
        };
        all.extend(value.map(|value| (name, value)));
    }
    all
}

fn credentials(fields: &Fields<'_>, sink: &mut Sink) -> Vec<Credential> {
    let Some(at) = fields.get("credentials") else { return Vec::new() };
    let mut all = Vec::new();
    for (entry, value) in at.entries(sink) {
        let form = match &value.node.value {
            Value::Map(_) => Some(CredentialForm::Environment(
                value
                    .entries(sink)
                    .into_iter()
                    .filter_map(|(e, key)| key.text(sink).map(|key| (e.key.clone(), key.text)))
                    .collect(),
            )),
            Value::Scalar(Scalar::Text(text)) => {
                Some(CredentialForm::Directory(Text { text: text.clone(), place: value.place() }))
            }
            _ => {
                let remedy = "write `{ENV_VAR: key}` or the path of a directory";
                value.expected(sink, "text or a map (must be a str or dict)", remedy)
            }
        };
        all.extend(form.map(|form| Credential { name: entry.key.clone(), form }));
    }
    all
}

fn resources(fields: &Fields<'_>, task: &Text, shared: &Shared<'_>, sink: &mut Sink) -> Resources {
    let Some(at) = fields.get("resource") else {
        return shared.resources.find("default").cloned().unwrap_or_else(|| {
            sink.error(
                fields.place,
                "",
                format!("task {} has no specified resource", task.text),
                "add `resource: NAME`, or an entry `default` under workflow.resources",
            );
            Resources::default()
        });
    };
    let Some(wanted) = at.text(sink) else { return Resources::default() };
    shared.resources.find(&wanted.text).cloned().unwrap_or_else(|| {
        at.error(
            sink,
            format!("undefined resource {:?}", wanted.text),
            &format!("workflow.resources has {}", shared.resources.names()),
        );
        Resources::default()
    })
}

/// Keys whose form counts and whose value does not.
fn check_unused(fields: &Fields<'_>, sink: &mut Sink) {
    if let Some(at) = fields.get("downloadType").filter(|at| !at.is_null())
        && let Some(kind) = at.text(sink)
        && kind.text != "download"
    {
        let message = format!("invalid downloadType {:?}", kind.text);
        at.error(sink, message, "the valid type is download");
    }
    if let Some(at) = fields.get("cacheSize").filter(|at| !at.is_null()) {
        check_cache_size(&at, sink);
    }
}

fn check_cache_size(at: &Cursor<'_>, sink: &mut Sink) {
    let Some(text) = at.text(sink) else { return };
    match text.text.strip_suffix('%') {
        Some(percent) if percent.parse::<f64>().is_ok_and(|p| (0.0..=100.0).contains(&p)) => {}
        Some(_) => {
            let _: Option<()> =
                at.expected(sink, "0–100 percent", "write 90% or a size such as 10Gi");
        }
        None => {
            let _ = quantity::bytes(at, sink);
        }
    }
}
