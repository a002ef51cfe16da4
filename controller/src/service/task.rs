//! Names and states of tasks, as the service's database knows them.

use jiff::Timestamp;

/// One attempt of one task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    /// Workflow id.
    pub workflow: String,
    /// Task name.
    pub task: String,
    /// Attempt, from 0.
    pub retry: u32,
}

/// A task that the service is told about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskIdentity {
    /// Workflow id.
    pub workflow: String,
    /// Group name.
    pub group: String,
    /// Task name.
    pub task: String,
    /// Attempt, from 0.
    pub retry: u32,
    /// The group's lead.
    pub lead: bool,
}

impl TaskIdentity {
    /// The part that names the attempt.
    pub fn key(&self) -> TaskKey {
        TaskKey { workflow: self.workflow.clone(), task: self.task.clone(), retry: self.retry }
    }
}

/// State of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    /// Submitted; gets no token yet.
    Pending,
    /// Waits for other groups.
    Waiting,
    /// Waits for a node.
    Scheduling,
    /// Its pod is being made.
    Initializing,
    /// At work.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Ended by a user.
    FailedCanceled,
}

impl TaskStatus {
    /// As the service writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Waiting => "WAITING",
            Self::Scheduling => "SCHEDULING",
            Self::Initializing => "INITIALIZING",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::FailedCanceled => "FAILED_CANCELED",
        }
    }

    /// No token any more, and not counted by a barrier.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::FailedCanceled)
    }
}

/// State of a workflow, as far as users' calls care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkflowStatus {
    /// Not started.
    Pending,
    /// Some task may run.
    #[default]
    Running,
    /// Over.
    Completed,
}

/// What tells one run of a workflow or task from others.
#[derive(Debug)]
pub(crate) struct Life {
    /// 32 hexadecimal digits.
    pub(crate) uuid: String,
    /// When it was made known.
    pub(crate) began: Timestamp,
    /// When it was first said to be over.
    pub(crate) ended: Option<Timestamp>,
}

impl Life {
    pub(crate) fn begin() -> Self {
        let uuid = uuid::Uuid::new_v4().simple().to_string();
        Self { uuid, began: Timestamp::now(), ended: None }
    }

    pub(crate) fn end(&mut self) {
        self.ended.get_or_insert_with(Timestamp::now);
    }
}
