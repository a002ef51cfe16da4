//! The task's side of the stream, read by our own user's side when it asked
//! for the exit code.

use serde::Deserialize;

use super::marked::{Piece, cut};
use super::{EXIT_MARKER, Exit};

/// What the task sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// An exit code will be told.
    Promise,
    /// What the terminal shows.
    Bytes(Vec<u8>),
    /// The end.
    Exit(Exit),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Told {
    code: Option<i32>,
}

/// Reads the stream, however it is cut. It holds at most one unfinished value.
#[derive(Debug, Default)]
pub struct OutputReader {
    pending: Vec<u8>,
}

impl OutputReader {
    /// Takes over `bytes` and returns what is now whole, in order.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Output> {
        self.pending.extend_from_slice(bytes);
        let mut whole = Vec::new();
        let parse = |text: &[u8]| serde_json::from_slice::<Told>(text).ok();
        let taken = cut(&self.pending, EXIT_MARKER, parse, |piece| {
            whole.push(match piece {
                Piece::Bytes(bytes) => Output::Bytes(bytes),
                Piece::Value(Told { code: Some(code) }) => Output::Exit(Exit { code }),
                Piece::Value(Told { code: None }) => Output::Promise,
            });
        });
        self.pending.drain(..taken);
        whole
    }

    /// What is left when the stream has ended.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }
}
