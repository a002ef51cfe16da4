//! A terminal's bytes, inside a router pair and on the agent's second
//! connection.
//!
//! ```text
//! user ── {"Rows":24,"Cols":80} keys… \x00RESIZE:{"Rows":40,"Cols":120} keys… ──► task
//!      ◄── [ \x00EXIT:{} ] what the terminal shows … [ \x00EXIT:{"Code":3} ] ────
//! ```
//!
//! The first value is the window's size; later ones stand in the stream behind
//! a marker and end at the first `}`. Any of this may be cut anywhere, and a
//! NUL that no marker follows is a keystroke.
//!
//! The exit code is ours: it is sent only to a user whose first size asks for
//! it with `"ExitCode":true`, which others ignore. Such a user is first promised
//! one ([`PROMISE`]): a stream that ends without it then was cut.

mod input;
mod marked;
mod output;
#[cfg(test)]
mod tests;

pub use input::{Input, InputError, InputReader};
pub use output::{Output, OutputReader};

use serde::{Deserialize, Serialize};

/// Stands before a size within the stream.
pub const RESIZE_MARKER: &[u8] = b"\x00RESIZE:";
/// Stands before the exit code at the stream's end.
pub const EXIT_MARKER: &[u8] = b"\x00EXIT:";
/// Says at the stream's begin that an exit code will be told.
pub const PROMISE: &[u8] = b"\x00EXIT:{}";
/// Bytes of a size or exit code at most; a longer one is an error at the begin
/// and keystrokes later.
pub const VALUE_BYTES_MAX: usize = 1 << 10;

/// A window's size in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Size {
    /// Lines; 0 where the user's terminal has no size.
    #[serde(alias = "rows")]
    pub rows: u16,
    /// Columns; 0 where the user's terminal has no size.
    #[serde(alias = "cols")]
    pub cols: u16,
    /// In the first size: tell the exit code at the end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exit_code: bool,
}

/// The code of the terminal's program; 128 + N for signal N.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Exit {
    /// The code.
    pub code: i32,
}

impl Size {
    /// The stream's first value.
    pub fn encode(self) -> Vec<u8> {
        serde_json::to_vec(&self).unwrap_or_default()
    }

    /// A size within the stream.
    pub fn encode_resize(self) -> Vec<u8> {
        [RESIZE_MARKER, &self.encode()].concat()
    }
}

impl Exit {
    /// The stream's last value.
    pub fn encode(self) -> Vec<u8> {
        [EXIT_MARKER, &serde_json::to_vec(&self).unwrap_or_default()].concat()
    }
}
