//! What is wrong with a workflow file, said so that it can be put right.
//!
//! One [`Diagnostic`] is one sentence at one place. Reading goes on after a
//! fault wherever the rest still means something, so that a file with three
//! faults is corrected in one sitting.

use std::fmt;
use std::path::{Path, PathBuf};

/// Faults kept for one file; what comes after them is counted, not printed.
pub const DIAGNOSTICS_MAX: usize = 100;

/// A line and a column of the user's file, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Place {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };

    /// A place from its line and column, both counted from 1.
    pub fn new(line: usize, column: usize) -> Self {
        Self { line, column }
    }
}

/// Whether the file can still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is accepted; something in it has no effect here, or is suspicious.
    Warning,
}

/// One fault: where, at which key, what, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the file is refused for it.
    pub severity: Severity,
    /// The file as the user named it.
    pub file: PathBuf,
    /// Where in that file; `None` for a fault of a flag or of the whole file.
    pub place: Option<Place>,
    /// The key's path, as `workflow.tasks[0].image`; empty when no key is concerned.
    pub key: String,
    /// What was found and what was expected.
    pub message: String,
    /// What to write instead; empty when the message says it.
    pub remedy: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(place) = self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        match self.severity {
            Severity::Error => f.write_str(": ")?,
            Severity::Warning => f.write_str(": warning: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// All faults of one file, in the order of their places. Never empty as an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    dropped: usize,
}

impl Diagnostics {
    /// The faults, at most [`DIAGNOSTICS_MAX`].
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.list
    }

    /// How many more were found than are kept.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Whether any of them refuses the file.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|one| one.severity == Severity::Error)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn push(&mut self, one: Diagnostic) {
        if self.list.contains(&one) {
            return;
        }
        if self.list.len() < DIAGNOSTICS_MAX {
            self.list.push(one);
        } else if one.severity == Severity::Error && !self.has_errors() {
            // A refusal must not be lost behind a hundred warnings.
            self.dropped += 1;
            self.list[DIAGNOSTICS_MAX - 1] = one;
        } else {
            self.dropped += 1;
        }
    }

    pub(super) fn sort(&mut self) {
        self.list.sort_by_key(|one| one.place);
    }

    /// Errors and warnings apart.
    pub(super) fn split(self) -> (Self, Vec<Diagnostic>) {
        let (errors, warnings) =
            self.list.into_iter().partition(|one| one.severity == Severity::Error);
        (Self { list: errors, dropped: self.dropped }, warnings)
    }

    /// Every warning becomes an error.
    pub(super) fn make_strict(&mut self) {
        for one in &mut self.list {
            one.severity = Severity::Error;
        }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            one.fmt(f)?;
        }
        if self.dropped > 0 {
            write!(f, "\n… and {} more", self.dropped)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Where faults are collected while a file is read.
#[derive(Debug)]
pub(super) struct Sink {
    file: PathBuf,
    found: Diagnostics,
}

impl Sink {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), found: Diagnostics::default() }
    }

    pub(super) fn error(
        &mut self,
        place: impl Into<Option<Place>>,
        key: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(Severity::Error, place.into(), key, message.into(), remedy.into());
    }

    pub(super) fn warn(
        &mut self,
        place: impl Into<Option<Place>>,
        key: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(Severity::Warning, place.into(), key, message.into(), remedy.into());
    }

    fn push(
        &mut self,
        severity: Severity,
        place: Option<Place>,
        key: &str,
        message: String,
        remedy: String,
    ) {
        let file = self.file.clone();
        self.found.push(Diagnostic { severity, file, place, key: key.to_owned(), message, remedy });
    }

    pub(super) fn has_errors(&self) -> bool {
        self.found.has_errors()
    }

    pub(super) fn finish(mut self) -> Diagnostics {
        self.found.sort();
        self.found
    }
}
