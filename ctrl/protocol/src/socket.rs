//! The unix socket between the sidecar and the agent: a stream of JSON objects.
//!
//! ```text
//!   agent ── Hello{token}, State{…} ────────────────► sidecar
//!         ◄───────────────── ExecStart | CtrlFailed ──
//!         ── MessageOut/Err/Ops … ──────────────────►
//!         ◄──────────────────── LinesStored{count} ──   (may be forgotten)
//!         ◄─────── UserExecStart{command, session} ──   (a terminal)
//!   (a second connection: Hello{token, session}, then the terminal's raw bytes)
//!         ── TerminalEnded{session, code} ──────────►
//!         ◄────────────────────── PortForward{port} ──
//!         ── PortReady{port} | PortRefused{port} ───►
//!         ◄───────────────────────────── Terminate ──   (the pod must go)
//!         ── ExecFinished | ExecFailed ─────────────►
//! ```
//!
//! A main connection that breaks while the command runs is dialled again by the
//! agent: `Hello`, `State`, then every line that no `LinesStored` covered.
//!
//! On the wire every object carries every field of the original protocol, in
//! its order; a newline follows but readers do not rely on it. Ours alone are
//! `Hello`, `State`, `Terminate`, `LinesStored`, `TerminalEnded`, `PortForward`,
//! `PortReady`, `PortRefused`, and the fields `ExitCode`, `Token`, `Session`,
//! `Lines`, `State` and `Seconds`: a peer that does not know them ignores them, and one
//! that does not send them is understood.

mod decoder;

pub use decoder::{Decoder, FRAME_BYTES_MAX, FrameError};

use serde::{Deserialize, Serialize};

/// Bytes after which a line without a newline is cut.
pub const LINE_BYTES_MAX: usize = 32 << 10;

/// One object of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Agent → sidecar, first: proves that the agent is a member of the pod.
    Hello {
        /// What `osmo-init` left beside the socket; empty when it left nothing.
        token: String,
        /// On a second connection: the terminal that it carries.
        session: Option<u64>,
    },
    /// Agent → sidecar, after `Hello` on the main connection: where the command
    /// is. Absent from other agents, which are always `Waiting`.
    State {
        /// Where the command is.
        state: AgentState,
    },
    /// Sidecar → agent: so many of the lines of this main connection, counted
    /// from its begin, are stored by the service or told as dropped.
    LinesStored {
        /// Lines, of all three kinds together.
        lines: u64,
    },
    /// Sidecar → agent: the inputs are there, start.
    ExecStart {
        /// Where the user's command leaves its results.
        output_folder: String,
    },
    /// Sidecar → agent: there will be no start; exit quietly.
    CtrlFailed,
    /// Sidecar → agent: pass SIGTERM on to the command.
    Terminate {
        /// Seconds until the sidecar waits for the command's end no longer;
        /// absent where it does not say.
        seconds: Option<u64>,
    },
    /// Sidecar → agent: open a terminal.
    UserExecStart {
        /// The command line, shell-quoted.
        command: String,
        /// What the second connection's `Hello` is to say.
        session: Option<u64>,
    },
    /// Agent → sidecar: the terminal's program ended, all its output is written.
    TerminalEnded {
        /// The terminal.
        session: u64,
        /// The program's code, 128 + N for signal N.
        code: i32,
    },
    /// Sidecar → agent: does anybody listen at this port of the task?
    PortForward {
        /// TCP port on the task's loopback.
        port: u16,
    },
    /// Agent → sidecar: somebody does.
    PortReady {
        /// The port asked for.
        port: u16,
    },
    /// Agent → sidecar: nobody does.
    PortRefused {
        /// The port asked for.
        port: u16,
    },
    /// Sidecar → agent: stop the command in order to start it again.
    UserStop,
    /// Sidecar → agent: start it again.
    UserStart,
    /// Agent → sidecar: the command is stopped.
    UserStopFinished,
    /// Agent → sidecar: a line of standard output.
    MessageOut(String),
    /// Agent → sidecar: a line of standard error.
    MessageErr(String),
    /// Agent → sidecar: a line of the agent's own.
    MessageOps(String),
    /// Agent → sidecar: whether the rsync daemon runs.
    UserRsyncStatus {
        /// It does.
        running: bool,
        /// Its port on the loopback; 0 from agents that know no other than 16000.
        port: u16,
    },
    /// Agent → sidecar: the command ended well.
    ExecFinished,
    /// Agent → sidecar: the command failed.
    ExecFailed {
        /// `Command failed with error: exit status N\n`
        message: String,
        /// The code that the agent will exit with; absent from other agents.
        code: Option<i32>,
    },
    /// An object whose type is not known here.
    Unknown(String),
}

/// Where the command is, for a sidecar that was started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Not started yet.
    #[default]
    Waiting,
    /// It runs.
    Running,
    /// Stopped by `UserStop`, to be started again.
    Stopped,
    /// It has ended; `ExecFinished` or `ExecFailed` follows the lines.
    Ended,
}

/// The object as it travels.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Wire {
    r#type: String,
    message_out: String,
    message_err: String,
    message_ops: String,
    output_folder: String,
    router_address: String,
    command: String,
    task_port: u16,
    rsync_running: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<AgentState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
}

impl Frame {
    /// The object's bytes and a newline.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(&Wire::from(self)).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

impl From<&Frame> for Wire {
    fn from(frame: &Frame) -> Self {
        let named = |name: &str| Self { r#type: name.to_owned(), ..Self::default() };
        match frame.clone() {
            Frame::Hello { token, session } => {
                Self { token: Some(token), session, ..named("Hello") }
            }
            Frame::State { state } => Self { state: Some(state), ..named("State") },
            Frame::LinesStored { lines } => Self { lines: Some(lines), ..named("LinesStored") },
            Frame::TerminalEnded { session, code } => {
                Self { session: Some(session), exit_code: Some(code), ..named("TerminalEnded") }
            }
            Frame::PortForward { port } => Self { task_port: port, ..named("PortForward") },
            Frame::PortReady { port } => Self { task_port: port, ..named("PortReady") },
            Frame::PortRefused { port } => Self { task_port: port, ..named("PortRefused") },
            Frame::ExecStart { output_folder } => Self { output_folder, ..named("ExecStart") },
            Frame::CtrlFailed => named("CtrlFailed"),
            Frame::Terminate { seconds } => Self { seconds, ..named("Terminate") },
            Frame::UserExecStart { command, session } => {
                Self { command, session, ..named("UserExecStart") }
            }
            Frame::UserStop => named("UserStop"),
            Frame::UserStart => named("UserStart"),
            Frame::UserStopFinished => named("UserStopFinished"),
            Frame::MessageOut(message_out) => Self { message_out, ..named("MessageOut") },
            Frame::MessageErr(message_err) => Self { message_err, ..named("MessageErr") },
            Frame::MessageOps(message_ops) => Self { message_ops, ..named("MessageOps") },
            Frame::UserRsyncStatus { running, port } => {
                Self { rsync_running: running, task_port: port, ..named("UserRsyncStatus") }
            }
            Frame::ExecFinished => Self { exit_code: Some(0), ..named("ExecFinished") },
            Frame::ExecFailed { message, code } => {
                Self { message_err: message, exit_code: code, ..named("ExecFailed") }
            }
            Frame::Unknown(name) => named(&name),
        }
    }
}

impl From<Wire> for Frame {
    fn from(wire: Wire) -> Self {
        match wire.r#type.as_str() {
            "Hello" => Self::Hello { token: wire.token.unwrap_or_default(), session: wire.session },
            "State" => Self::State { state: wire.state.unwrap_or_default() },
            "LinesStored" => Self::LinesStored { lines: wire.lines.unwrap_or_default() },
            "TerminalEnded" => Self::TerminalEnded {
                session: wire.session.unwrap_or_default(),
                code: wire.exit_code.unwrap_or_default(),
            },
            "PortForward" => Self::PortForward { port: wire.task_port },
            "PortReady" => Self::PortReady { port: wire.task_port },
            "PortRefused" => Self::PortRefused { port: wire.task_port },
            "ExecStart" => Self::ExecStart { output_folder: wire.output_folder },
            "CtrlFailed" => Self::CtrlFailed,
            "Terminate" => Self::Terminate { seconds: wire.seconds },
            "UserExecStart" => Self::UserExecStart { command: wire.command, session: wire.session },
            "UserStop" => Self::UserStop,
            "UserStart" => Self::UserStart,
            "UserStopFinished" => Self::UserStopFinished,
            "MessageOut" => Self::MessageOut(wire.message_out),
            "MessageErr" => Self::MessageErr(wire.message_err),
            "MessageOps" => Self::MessageOps(wire.message_ops),
            "UserRsyncStatus" => {
                Self::UserRsyncStatus { running: wire.rsync_running, port: wire.task_port }
            }
            "ExecFinished" => Self::ExecFinished,
            "ExecFailed" => {
                let code = wire.exit_code.or_else(|| told_code(&wire.message_err));
                Self::ExecFailed { message: wire.message_err, code }
            }
            _ => Self::Unknown(wire.r#type),
        }
    }
}

/// The code in `… exit status N`, for agents that tell it in words alone.
fn told_code(message: &str) -> Option<i32> {
    message.trim_end().rsplit_once("exit status ")?.1.parse().ok()
}

#[cfg(test)]
mod tests;
