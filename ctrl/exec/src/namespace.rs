//! Shows the command a tree at a place where the machine has none (`-bind`).
//!
//! In a pod the volumes are mounted at `/osmo`; on one machine nobody may
//! create that folder. So the command runs in a name space of its own, whose
//! root is a small memory file system with everything of the real root bound
//! into it, and the wanted places beside:
//!
//! ```text
//!   agent ──► stage (this program again, one thread)
//!               unshare ─► new root ─► pivot ─► exec: the user's command
//! ```
//!
//! A stage of its own, because only a process with a single thread may enter a
//! user name space. The command keeps its user and group; as an ordinary user
//! it gains no right over anything outside.
//!
//! Limits: what the command creates directly in a folder that had to be rebuilt
//! (`/`, or the nearest existing folder above a bind) lives in memory, up to
//! 64 MiB, and is gone at its end.

mod root;

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use nix::sys::signal::Signal;

use crate::command::{NOT_EXECUTABLE, start_error};
use crate::complain;

/// The private first argument that turns this program into the stage.
pub(crate) const STAGE: &str = "--osmo-exec-stage";
/// Exit code when the name space was refused.
pub const REFUSED: u8 = 125;

const SEPARATOR: &str = "--";
const PROBE: &str = "--probe";
const TERMINAL: &str = "--terminal";
const REFUSAL: &str = "the name space for -bind was refused: ";

/// What is seen where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// An existing folder or file.
    pub source: PathBuf,
    /// An absolute path.
    pub target: PathBuf,
}

impl FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (source, target) = text.rsplit_once(':').ok_or("expected SRC:DST")?;
        let target = Path::new(target);
        let mut parts = target.components();
        let rooted = parts.next() == Some(Component::RootDir);
        let rest: Vec<_> = parts.collect();
        if source.is_empty() || !rooted || rest.is_empty() {
            return Err("expected SRC:DST with an absolute DST below /".to_owned());
        }
        if !rest.iter().all(|part| matches!(part, Component::Normal(_))) {
            return Err("DST must not hold `..`".to_owned());
        }
        Ok(Self { source: source.into(), target: target.to_owned() })
    }
}

impl Bind {
    fn word(&self) -> OsString {
        let mut word = self.source.clone().into_os_string();
        word.push(":");
        word.push(&self.target);
        word
    }
}

/// How this process was called up to the last `own` words: its name, and what a
/// caller that serves several programs took to choose this one.
pub(crate) fn own_prefix(own: usize) -> Vec<OsString> {
    let all: Vec<_> = std::env::args_os().collect();
    let prefix = all.len().saturating_sub(own).max(1);
    all.into_iter().take(prefix).collect()
}

/// This program's file; where there is no `/proc`, its name by path.
fn own_program(prefix: &[OsString]) -> PathBuf {
    const OWN: &str = "/proc/self/exe";
    let name = prefix.first().map(Path::new).filter(|name| name.is_absolute());
    match name {
        Some(name) if !Path::new(OWN).exists() => name.to_owned(),
        _ => OWN.into(),
    }
}

/// The stage, told what to show and what to run.
pub(crate) fn command(prefix: &[OsString], binds: &[Bind], argv: &[String]) -> Command {
    let mut command = again(prefix, STAGE);
    command.args(binds.iter().map(Bind::word)).arg(SEPARATOR).args(argv);
    command
}

/// The stage as leader of the session of the terminal that it gets as standard
/// input.
pub(crate) fn terminal(prefix: &[OsString], binds: &[Bind], argv: &[String]) -> Command {
    let mut command = again(prefix, STAGE);
    command.arg(TERMINAL).args(binds.iter().map(Bind::word)).arg(SEPARATOR).args(argv);
    command
}

/// This program again, as `stage`.
pub(crate) fn again(prefix: &[OsString], stage: &str) -> Command {
    let mut command = Command::new(own_program(prefix));
    if let Some((name, words)) = prefix.split_first() {
        command.arg0(name).args(words);
    }
    command.arg(stage);
    command
}

/// Tries whether `-bind` works on this machine, for a program that runs this
/// crate's `main` when it is called `osmo-exec`.
///
/// # Errors
/// A sentence that names what was refused.
pub fn probe() -> Result<(), String> {
    probe_as(&[OsString::from("osmo-exec")])
}

/// The same for a program that runs this crate's `main` when it is called with
/// the words of `prefix`, its name first.
///
/// # Errors
/// As [`probe`].
pub fn probe_as(prefix: &[OsString]) -> Result<(), String> {
    let output = again(prefix, STAGE)
        .arg(PROBE)
        .output()
        .map_err(|error| format!("cannot start the probe: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let told = told.lines().next().unwrap_or("the probe failed without a word");
    Err(told.split_once(REFUSAL).map_or(told, |(_, reason)| reason).to_owned())
}

/// The stage's own main; returns only when something failed, or after a probe.
pub(crate) fn stage(words: &[OsString]) -> u8 {
    if words.first().is_some_and(|word| word == PROBE) {
        let bind = Bind { source: "/".into(), target: "/osmo-probe/inner".into() };
        return match root::enter(&[bind]) {
            Ok(()) => 0,
            Err(sentence) => refused(&sentence),
        };
    }
    let (in_terminal, words) = match words.split_first() {
        Some((first, words)) if first == TERMINAL => (true, words),
        _ => (false, words),
    };
    if in_terminal && let Err(error) = take_terminal() {
        complain(&format!("cannot take the terminal over: {error}"));
        return REFUSED;
    }
    let Some(middle) = words.iter().position(|word| word == SEPARATOR) else {
        return refused("the stage was called without a command");
    };
    let (binds, argv) = (&words[..middle], &words[middle + 1..]);
    let binds: Result<Vec<Bind>, String> =
        binds.iter().map(|word| word.to_string_lossy().parse()).collect();
    let enter = |binds: Vec<Bind>| match binds.is_empty() {
        true => Ok(()),
        false => root::enter(&binds),
    };
    match binds.and_then(enter) {
        Ok(()) => {
            // A command never outlives the agent that takes its lines.
            let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
            exec(argv)
        }
        Err(sentence) => refused(&sentence),
    }
}

/// Begins a session whose terminal is standard input.
fn take_terminal() -> rustix::io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())
}

fn refused(sentence: &str) -> u8 {
    complain(&format!("{REFUSAL}{sentence}"));
    REFUSED
}

fn exec(argv: &[OsString]) -> u8 {
    let Some(program) = argv.first() else { return NOT_EXECUTABLE };
    let error = Command::new(program).args(&argv[1..]).exec();
    let error = start_error(program as &OsStr, &error);
    complain(&error.sentence);
    error.code
}

#[cfg(test)]
mod tests {
    use super::Bind;

    #[test]
    fn binds_name_an_absolute_place() {
        let bind = Bind { source: "/tmp/a:b".into(), target: "/osmo/x".into() };
        assert_eq!("/tmp/a:b:/osmo/x".parse(), Ok(bind));
        for text in ["", "/a", ":/osmo", "/a:", "/a:osmo", "/a:/", "/a:/x/../y"] {
            assert!(text.parse::<Bind>().is_err(), "{text}");
        }
    }
}
