//! A workflow, read and checked: plain values with speaking names.
//!
//! Everything is normalised: a task under `tasks` has its own group, every
//! default is filled in, quantities are bytes, durations are durations. Texts
//! keep their tokens until [`resolve`](super::tokens::resolve).

use std::time::Duration;

use super::diagnostic::Place;

/// A text of the file and where it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text, tokens unreplaced until they are resolved.
    pub text: String,
    /// Where it starts.
    pub place: Place,
}

/// A whole workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// Its name; a run's id is `<name>-<n>`.
    pub name: String,
    /// In the order of the file; a group needs only groups before it.
    pub groups: Vec<Group>,
    /// Longest run of one group; `None` means the runner's own limit.
    pub exec_timeout: Option<Duration>,
    /// Longest wait of one group for a place; without effect on one machine.
    pub queue_timeout: Option<Duration>,
    /// In the order of the file, those of flags last.
    pub labels: Vec<(String, String)>,
}

/// Tasks that run at the same time.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// `<task>-group` for a task that stands under `tasks`.
    pub name: String,
    /// At least one.
    pub tasks: Vec<Task>,
    /// With two or more tasks: all commands start when all inputs are there.
    pub barrier: bool,
    /// Only the lead decides the result.
    pub ignore_nonlead_status: bool,
    /// Indices in [`Workflow::groups`] of the groups that must be completed first, ascending.
    pub needs: Vec<usize>,
    /// Where it starts in the file.
    pub place: Place,
}

impl Group {
    /// The task that decides the group's result.
    pub fn lead(&self) -> Option<&Task> {
        self.tasks.iter().find(|task| task.lead)
    }
}

/// One command with its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Unique in the workflow.
    pub name: String,
    /// The container image; not used on one machine.
    pub image: String,
    /// Program and leading arguments, at least one.
    pub command: Vec<Text>,
    /// Further arguments.
    pub args: Vec<Text>,
    /// Name and value, in the order of the file, those of `--set-env` last.
    pub environment: Vec<(Text, Text)>,
    /// Secrets by the name they are stored under.
    pub credentials: Vec<Credential>,
    /// Downloaded in this order.
    pub inputs: Vec<Input>,
    /// Uploaded in this order.
    pub outputs: Vec<Output>,
    /// Files of figures below the output directory.
    pub kpis: Vec<Kpi>,
    /// Folders that are saved while the command runs.
    pub checkpoints: Vec<Checkpoint>,
    /// Files put into the container.
    pub files: Vec<File>,
    /// What the task asks of its node.
    pub resources: Resources,
    /// What exit codes mean.
    pub exit_actions: ExitActions,
    /// `src` or `src:dst`.
    pub volume_mounts: Vec<Text>,
    /// Whether its end is the group's end.
    pub lead: bool,
    /// Without effect on one machine.
    pub privileged: bool,
    /// Without effect on one machine.
    pub host_network: bool,
    /// Where it starts in the file.
    pub place: Place,
}

/// One entry of `inputs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where it comes from.
    pub source: InputSource,
    /// Keeps matching objects only, anchored at the start; empty keeps all.
    pub regex: Text,
    /// Where it starts in the file.
    pub place: Place,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputSource {
    /// The output directory of a task.
    Task {
        /// An earlier workflow's id, or `None` for this workflow.
        workflow: Option<String>,
        /// The task's name.
        name: String,
    },
    /// Objects below a prefix.
    Url(Text),
}

/// One entry of `outputs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where the output directory goes.
    pub url: Text,
    /// Keeps matching files only; empty keeps all.
    pub regex: Text,
}

/// One entry of `kpis`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kpi {
    /// Its label.
    pub index: String,
    /// A JSON file below the output directory.
    pub path: Text,
}

/// One entry of `checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// File or folder in the container, always with a leading slash.
    pub path: Text,
    /// Where it goes.
    pub url: Text,
    /// Pause between two uploads, in whole seconds.
    pub frequency: Duration,
    /// On the path that starts with the last component of `path`.
    pub regex: Text,
}

/// One entry of `files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it goes.
    pub path: Text,
    /// What is in it.
    pub contents: Contents,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// Text; tokens in it are replaced.
    Text(Text),
    /// Bytes that are no text, or came as base64.
    Bytes(Vec<u8>),
}

impl Contents {
    /// What is written.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// One entry of `credentials`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The name it is stored under.
    pub name: String,
    /// How the task sees it.
    pub form: CredentialForm,
}

/// How a task sees a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialForm {
    /// One file for each key, in this directory.
    Directory(Text),
    /// Environment variable and key.
    Environment(Vec<(String, String)>),
}

/// One entry of `resources`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources {
    /// Whole cores.
    pub cpu: Option<u64>,
    /// Whole GPUs.
    pub gpu: Option<u64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Bytes.
    pub storage_bytes: Option<u64>,
    /// A kind of node; without effect on one machine.
    pub platform: Option<String>,
}

/// What becomes of a task that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExitAction {
    /// It counts as completed.
    Complete,
    /// It counts as failed.
    Fail,
    /// It is tried again from the start.
    Reschedule,
}

/// A task's `exitActions`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExitActions {
    /// Action, first and last code, in the order of the file.
    pub ranges: Vec<(ExitAction, u64, u64)>,
}

impl ExitActions {
    /// What `code` means: the first range that holds it, else 0 is completed
    /// and everything else failed.
    pub fn action(&self, code: u64) -> ExitAction {
        self.ranges
            .iter()
            .find(|(_, first, last)| (*first..=*last).contains(&code))
            .map_or(if code == 0 { ExitAction::Complete } else { ExitAction::Fail }, |hit| hit.0)
    }
}
