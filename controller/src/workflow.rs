//! The workflow file: from what a user wrote to what the runner runs.
//!
//! ```text
//!            --set, --set-string                            --set-env, --label
//!                    │                                              │
//! file ─► sections ─► template ─► yaml tree ─► readers ─► model ─► checks ─► Loaded
//!         text::sections  text::template  text::yaml   read::*   model    check
//! ```
//!
//! It is OSMO's own format, read as its service reads it: cut by line, rendered
//! as Jinja, parsed as YAML 1.1, unknown keys refused. It is not a runner:
//! nothing is started, no store is asked, no environment is read.
//!
//! Invariants: a [`Loaded`] has passed every rule; each group needs only groups
//! before it; texts keep their tokens until [`tokens::resolve`]. Limits: 16 MiB
//! of text, [`DIAGNOSTICS_MAX`] faults, 200,000 values, 64 levels, 5 million
//! template steps.

mod check;
mod diagnostic;
mod expand;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod model;
mod read;
mod support;
mod text;
pub mod tokens;

use std::io::Read as _;
use std::path::{Path, PathBuf};

pub use diagnostic::{DIAGNOSTICS_MAX, Diagnostic, Diagnostics, Place, Severity};
pub use expand::{argv, environment, expand};
pub use support::unsupported_here;
pub use text::TEXT_BYTES_MAX;

use diagnostic::Sink;
use model::{Text, Workflow};
use text::template::{self, Variables};
use text::{sections, yaml};

/// What the command line adds to the file; each entry as `NAME=VALUE`.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Template variables, typed as numbers where they are.
    pub set: Vec<String>,
    /// Template variables that stay text; they win over `set`.
    pub set_string: Vec<String>,
    /// Environment of every task; replaces equal names.
    pub set_env: Vec<String>,
    /// Labels; they replace equal keys.
    pub labels: Vec<String>,
    /// Warnings refuse the file.
    pub strict: bool,
}

/// A workflow file, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The workflow.
    pub workflow: Workflow,
    /// What has no effect or is suspicious; empty under `strict`.
    pub warnings: Vec<Diagnostic>,
    /// The file as it was named.
    pub file: PathBuf,
}

/// Reads the workflow file at `path`.
///
/// # Errors
///
/// All faults of the file and of the options, each with its place.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    let mut sink = Sink::new(path);
    let workflow =
        read_text(path, &mut sink).and_then(|text| build(&text, path, options, &mut sink));
    let mut found = sink.finish();
    if options.strict {
        found.make_strict();
    }
    match workflow {
        Some(workflow) if !found.has_errors() => {
            let (_, warnings) = found.split();
            Ok(Loaded { workflow, warnings, file: path.to_owned() })
        }
        _ => Err(found),
    }
}

fn read_text(path: &Path, sink: &mut Sink) -> Option<String> {
    let mut bytes = Vec::new();
    let limit = TEXT_BYTES_MAX as u64;
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes).map(drop));
    if let Err(fault) = read {
        sink.error(None, "", format!("cannot read the workflow file: {fault}"), "check its path");
        return None;
    }
    if bytes.len() > TEXT_BYTES_MAX {
        let message = format!("the file is larger than {} MiB", TEXT_BYTES_MAX >> 20);
        sink.error(None, "", message, "move data out of it, into inputs");
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text.strip_prefix('\u{FEFF}').map(str::to_owned).unwrap_or(text)),
        Err(fault) => {
            let good = &fault.as_bytes()[..fault.utf8_error().valid_up_to()];
            let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
            sink.error(Place::new(line, 1), "", "the file is not UTF-8", "save it as UTF-8");
            None
        }
    }
}

fn build(text: &str, path: &Path, options: &LoadOptions, sink: &mut Sink) -> Option<Workflow> {
    let sections = sections::cut(text, sink);
    let mut variables = Variables::default();
    if let Some(defaults) = &sections.defaults {
        variables.add_defaults(defaults, sink);
    }
    variables.add_arguments("--set", &options.set, sink);
    variables.add_arguments("--set-string", &options.set_string, sink);
    let section = sections.workflow?;
    let (rendered, lines) = template::render(&section, &variables, sink)?;
    let root = yaml::parse(&rendered, &lines, sink)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut workflow = read::spec::workflow(&root, folder, sink)?;
    add_environment(&mut workflow, &options.set_env, sink);
    for label in &options.labels {
        if let Some((key, value)) = template::split_argument("--label", label, sink) {
            check::set_label(&mut workflow, key, value, sink);
        }
    }
    check::check(&mut workflow, sink);
    check::warn_without_effect(&root, sink);
    (!sink.has_errors()).then_some(workflow)
}

/// Writes `--set-env` values into every task.
fn add_environment(workflow: &mut Workflow, arguments: &[String], sink: &mut Sink) {
    for argument in arguments {
        let Some((name, value)) = template::split_argument("--set-env", argument, sink) else {
            continue;
        };
        let text = |text: &str| Text { text: text.to_owned(), place: Place::START };
        for task in workflow.groups.iter_mut().flat_map(|group| &mut group.tasks) {
            match task.environment.iter_mut().find(|(known, _)| known.text == name) {
                Some(known) => known.1 = text(value),
                None => task.environment.push((text(name), text(value))),
            }
        }
    }
}
