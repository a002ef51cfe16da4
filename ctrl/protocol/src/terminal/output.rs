//! The task's side of the stream, read by our own user's side when it asked
//! for the exit code.

use super::{EXIT_MARKER, Exit, VALUE_BYTES_MAX};

/// What the task sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// What the terminal shows.
    Bytes(Vec<u8>),
    /// The end.
    Exit(Exit),
}

/// Reads the stream, however it is cut.
#[derive(Debug, Default)]
pub struct OutputReader {
    pending: Vec<u8>,
}

impl OutputReader {
    /// Takes over `bytes` and returns what is now whole, in order.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Output> {
        self.pending.extend_from_slice(bytes);
        let mut whole = Vec::new();
        let mut shown = Vec::new();
        while let Some(nul) = self.pending.iter().position(|&byte| byte == 0) {
            shown.extend(self.pending.drain(..nul));
            let common = self.pending.len().min(EXIT_MARKER.len());
            if self.pending[..common] != EXIT_MARKER[..common] {
                shown.extend(self.pending.drain(..1));
                continue;
            }
            let value = &self.pending[common..];
            let end = value.iter().take(VALUE_BYTES_MAX).position(|&byte| byte == b'}');
            let exit = end.and_then(|end| serde_json::from_slice(&value[..=end]).ok());
            match (exit, end) {
                (Some(exit), Some(end)) => {
                    self.pending.drain(..=common + end);
                    if !shown.is_empty() {
                        whole.push(Output::Bytes(std::mem::take(&mut shown)));
                    }
                    whole.push(Output::Exit(exit));
                }
                (None, None) if value.len() < VALUE_BYTES_MAX => break,
                _ => shown.extend(self.pending.drain(..1)),
            }
        }
        if self.pending.first() != Some(&0) {
            shown.append(&mut self.pending);
        }
        if !shown.is_empty() {
            whole.push(Output::Bytes(shown));
        }
        whole
    }

    /// What is left when the stream has ended.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }
}
