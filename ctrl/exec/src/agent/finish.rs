//! What happens between the command's end and its telling.

use std::path::PathBuf;

use super::beside::Beside;
use crate::reaper::Reaper;
use crate::terminal::Terminals;
use crate::{orphans, tree};

/// What is to be tidied up.
pub(super) struct Finish {
    pub(super) beside: Option<Beside>,
    pub(super) terminals: Option<Terminals>,
    pub(super) reaper: Reaper,
    pub(super) output_folder: PathBuf,
}

impl Finish {
    /// Ends terminals and what the command left behind, then makes its results
    /// readable.
    pub(super) async fn run(self) {
        if let Some(mut terminals) = self.terminals {
            terminals.close().await;
        }
        // Nobody writes any more to what is uploaded a last time.
        let spared = || self.reaper.waited();
        orphans::end_but(spared).await;
        if let Some(beside) = self.beside {
            beside.end().await;
        }
        orphans::end_but(spared).await;
        let folder = self.output_folder;
        if !folder.as_os_str().is_empty() {
            let _ = tokio::task::spawn_blocking(move || tree::make_readable(&folder)).await;
        }
    }
}
