//! Inputs and outputs as the service writes them on the sidecar's command line.
//!
//! | text | means |
//! |---|---|
//! | `task:<folder>,<url>,<regex>` | input: an upstream task's output |
//! | `url:<folder>,<url>,<regex>` | input: a URL |
//! | `task:<url>` | output: for downstream tasks |
//! | `url:<url>,<regex>` | output: to a URL |
//! | `kpi:<url>,<path>` | output: one file of the output folder |
//!
//! A regex may hold commas, a URL may not; an empty or absent regex keeps
//! everything. Folders and paths that would leave their folder are refused.

use std::path::{Component, Path};
use std::str::FromStr;

/// Whose credentials an item uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The workflow's own storage: the service's credentials.
    Task,
    /// A URL of the user: the user's credentials.
    Url,
    /// A file that the service shows to the user: the service's credentials.
    Kpi,
}

/// One `-inputs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// `Task` or `Url`.
    pub owner: Owner,
    /// Folder below the input folder.
    pub folder: String,
    /// Where from.
    pub url: String,
    /// Keeps only matching objects.
    pub regex: Option<String>,
}

/// One `-outputs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The whole output folder, for downstream tasks.
    Task {
        /// Where to.
        url: String,
    },
    /// The output folder, to a URL of the user.
    Url {
        /// Where to.
        url: String,
        /// Keeps only matching files.
        regex: Option<String>,
    },
    /// One file.
    Kpi {
        /// Where to.
        url: String,
        /// The file, below the output folder.
        path: String,
    },
}

/// Why an item cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot understand {role} {text:?}: {reason}")]
pub struct ItemError {
    role: &'static str,
    text: String,
    reason: &'static str,
}

const INPUT_FORMS: &str = "expected task:<folder>,<url>[,<regex>] or url:<folder>,<url>[,<regex>]";
const OUTPUT_FORMS: &str = "expected task:<url>, url:<url>[,<regex>] or kpi:<url>,<path>";

impl FromStr for Input {
    type Err = ItemError;

    fn from_str(text: &str) -> Result<Self, ItemError> {
        let fault = |reason| ItemError { role: "input", text: text.to_owned(), reason };
        let (kind, rest) = text.split_once(':').ok_or_else(|| fault(INPUT_FORMS))?;
        let owner = match kind {
            "task" => Owner::Task,
            "url" => Owner::Url,
            _ => return Err(fault(INPUT_FORMS)),
        };
        let mut fields = rest.splitn(3, ',');
        let (Some(folder), Some(url)) = (fields.next(), fields.next()) else {
            return Err(fault(INPUT_FORMS));
        };
        if !stays_below(folder) {
            return Err(fault("the folder must be a relative path without `..`"));
        }
        if !is_url(url) {
            return Err(fault("the URL must read <scheme>://<place>"));
        }
        Ok(Self {
            owner,
            folder: folder.to_owned(),
            url: url.to_owned(),
            regex: some(fields.next()),
        })
    }
}

impl FromStr for Output {
    type Err = ItemError;

    fn from_str(text: &str) -> Result<Self, ItemError> {
        let fault = |reason| ItemError { role: "output", text: text.to_owned(), reason };
        let (kind, rest) = text.split_once(':').ok_or_else(|| fault(OUTPUT_FORMS))?;
        let (url, tail) = match rest.split_once(',') {
            Some((url, tail)) => (url, Some(tail)),
            None => (rest, None),
        };
        if !is_url(url) {
            return Err(fault("the URL must read <scheme>://<place>"));
        }
        let url = url.to_owned();
        match (kind, some(tail)) {
            ("task", None) => Ok(Self::Task { url }),
            ("task", Some(_)) => Err(fault("an output for tasks takes a URL and nothing more")),
            ("url", regex) => Ok(Self::Url { url, regex }),
            ("kpi", Some(path)) if stays_below(&path) => Ok(Self::Kpi { url, path }),
            ("kpi", _) => Err(fault("a KPI needs the relative path of one file, without `..`")),
            _ => Err(fault(OUTPUT_FORMS)),
        }
    }
}

impl Output {
    /// Whose credentials it uses.
    pub fn owner(&self) -> Owner {
        match self {
            Self::Task { .. } => Owner::Task,
            Self::Url { .. } => Owner::Url,
            Self::Kpi { .. } => Owner::Kpi,
        }
    }

    /// Where it goes.
    pub fn url(&self) -> &str {
        match self {
            Self::Task { url } | Self::Url { url, .. } | Self::Kpi { url, .. } => url,
        }
    }
}

fn some(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn is_url(text: &str) -> bool {
    matches!(text.split_once("://"), Some((scheme, place)) if !scheme.is_empty() && !place.is_empty())
}

/// Whether `path` names something below the folder it is joined to.
fn stays_below(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests;
