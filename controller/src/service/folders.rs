//! Folders of a task that rsync may reach beside the workspace: what the agent
//! is started with, and what users ask the service for.

use std::fmt;
use std::str::FromStr;

/// One folder, `name:path:writable`. Whether it is there, the agent looks
/// itself: it may be one of the task's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsyncFolder {
    name: String,
    path: String,
    writable: bool,
}

impl FromStr for RsyncFolder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split(':').collect();
        match words[..] {
            [name, path, writable @ ("true" | "false")]
                if !name.is_empty() && path.starts_with('/') && !text.contains(',') =>
            {
                let writable = writable == "true";
                Ok(Self { name: name.to_owned(), path: path.to_owned(), writable })
            }
            _ => Err("write NAME:PATH:WRITABLE, as in models:/data/models:false; PATH is \
                 absolute, nothing has a comma"
                .to_owned()),
        }
    }
}

impl fmt::Display for RsyncFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.name, self.path, self.writable)
    }
}

/// As users' programs read them, by name.
pub(super) fn allowed(folders: &[RsyncFolder]) -> String {
    let entry = |folder: &RsyncFolder| {
        let value = serde_json::json!({ "path": folder.path, "writable": folder.writable });
        (folder.name.clone(), value)
    };
    serde_json::Value::Object(folders.iter().map(entry).collect()).to_string()
}
