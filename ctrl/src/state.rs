//! What a sidecar that was killed and started again must know: a small file,
//! replaced as a whole at each step.
//!
//! ```text
//! <folder of the socket>/ctrl/   0700
//!   state.json                   0600, written aside and renamed
//!   sent                         files that are in the store (`transfer/ledger.rs`)
//!   left-behind.jsonl            files that did not make it; outlives the end
//! ```
//!
//! The folder of the socket is a volume of the pod, so it outlives the
//! container; only the pod's two containers mount it. The user's container can
//! reach it: a folder that is a link, belongs to somebody else or is open to
//! others is not used, and nothing in it makes the sidecar do more than the
//! agent's own socket could. The handoff token is there because the agent
//! deletes it once connected, and must be asked for it again.
//!
//! No state, a broken one or another task's: the task begins anew, and a line
//! says why. A state that cannot be written is said once, and costs the
//! restart, not the task. Whoever ends in order leaves no state.

mod folder;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use osmo_protocol::exit::ExitCode;
use osmo_protocol::layout;
use serde::{Deserialize, Serialize};

use crate::flags::Flags;
use crate::lifecycle::{Failure, Reached};
use crate::logs::Log;
use crate::transfer::ledger::Sent;

/// Bytes of a state that are read; ours has a few hundred.
const STATE_BYTES_MAX: u64 = 64 << 10;
/// Another number is another shape, and begins anew.
const VERSION: u32 = 1;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    version: u32,
    workflow: String,
    task: String,
    retry: String,
    /// How far the task has come. Its metrics are told with the same step.
    pub(crate) reached: Reached,
    /// How the command ended.
    pub(crate) command_code: Option<i32>,
    /// What the agent shows.
    pub(crate) token: Option<String>,
    failure: Option<(u8, String)>,
}

impl Saved {
    fn of(flags: &Flags) -> Self {
        Self {
            version: VERSION,
            workflow: flags.workflow.clone(),
            task: flags.task.clone(),
            retry: flags.retry_id.clone(),
            ..Self::default()
        }
    }

    fn is_of(&self, other: &Self) -> bool {
        let key =
            |one: &Self| (one.version, one.workflow.clone(), one.task.clone(), one.retry.clone());
        key(self) == key(other)
    }
}

/// The folder and what is in it.
pub(crate) struct Memory {
    /// `None`: nothing is kept.
    folder: Option<PathBuf>,
    saved: Saved,
    sent: Arc<Sent>,
    is_resumed: bool,
    log: Log,
}

impl Memory {
    /// Reads what another sidecar of the same task has left; never fails.
    pub(crate) fn open(flags: &Flags, log: &Log) -> Self {
        let fresh = Saved::of(flags);
        let folder = place(flags);
        let mut memory = Self {
            folder: None,
            saved: fresh.clone(),
            sent: Arc::default(),
            is_resumed: false,
            log: log.clone(),
        };
        if let Err(error) = folder::own(&folder) {
            memory.warn(&format!("a restart cannot be survived: {}: {error}", folder.display()));
            return memory;
        }
        match read(&folder) {
            Ok(Some(saved)) if saved.is_of(&fresh) => {
                (memory.saved, memory.is_resumed) = (saved, true);
            }
            Ok(Some(_)) => memory.warn("the state is another task's: begins anew"),
            Ok(None) => {}
            Err(error) => memory.warn(&format!("the state cannot be read: {error}; begins anew")),
        }
        match Sent::open(&folder.join("sent"), !memory.is_resumed) {
            Ok(sent) => memory.sent = Arc::new(sent),
            Err(error) => memory.warn(&format!("files that are sent are not noted: {error}")),
        }
        // Read before the agent comes and deletes it.
        let token = std::fs::read_to_string(layout::handoff_beside(&flags.socket)).ok();
        memory.saved.token = token.or(memory.saved.token.take());
        memory.folder = Some(folder);
        memory.write();
        memory
    }

    fn warn(&self, text: &str) {
        self.log.console().warn(text);
    }

    pub(crate) fn saved(&self) -> &Saved {
        &self.saved
    }

    /// Whether another sidecar began the task.
    pub(crate) fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// The failure that it had.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let (code, sentence) = self.saved.failure.as_ref()?;
        Some(Failure::new(ExitCode::of(*code).unwrap_or(ExitCode::Misc), sentence.clone()))
    }

    pub(crate) fn sent(&self) -> Arc<Sent> {
        Arc::clone(&self.sent)
    }

    /// Where files are listed that did not make it.
    pub(crate) fn journal(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join("left-behind.jsonl"))
    }

    /// Notes where the task is, if that is news.
    pub(crate) fn keep(&mut self, reached: Reached, failure: Option<&Failure>, code: Option<i32>) {
        let failure = failure.map(|one| (one.code.code(), one.sentence.clone()));
        let next = Saved { reached, failure, command_code: code, ..self.saved.clone() };
        if next != self.saved {
            self.saved = next;
            self.write();
        }
    }

    fn write(&mut self) {
        let Some(folder) = &self.folder else { return };
        let text = serde_json::to_vec(&self.saved).unwrap_or_default();
        if let Err(error) = folder::replace(&folder.join("state.json"), &text) {
            let place = folder.display().to_string();
            // What is there is older than the task: worse than nothing.
            let _ = std::fs::remove_file(folder.join("state.json"));
            self.folder = None;
            self.warn(&format!("a restart cannot be survived any more: {place}: {error}"));
        }
    }

    /// The task is over: whoever comes now begins anew.
    pub(crate) fn forget(self) {
        let Some(folder) = &self.folder else { return };
        for name in ["state.json", "sent"] {
            let _ = std::fs::remove_file(folder.join(name));
        }
        // Stays where files were left behind.
        let _ = std::fs::remove_dir(folder);
    }
}

fn place(flags: &Flags) -> PathBuf {
    if flags.state.as_os_str().is_empty() {
        return flags.socket.with_file_name("ctrl");
    }
    flags.state.clone()
}

fn read(folder: &Path) -> std::io::Result<Option<Saved>> {
    use std::io::Read as _;
    let file = match std::fs::File::open(folder.join("state.json")) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(STATE_BYTES_MAX).read_to_end(&mut text)?;
    serde_json::from_slice(&text).map(Some).map_err(std::io::Error::from)
}

#[cfg(test)]
mod tests;
