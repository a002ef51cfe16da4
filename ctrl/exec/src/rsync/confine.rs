//! The stage before rsync: this program again, which takes every right over
//! files from itself but those that the modules need, and guards rsync.

use std::ffi::{OsStr, OsString};
use std::process::Command;

use landlock::{
    ABI, Access as _, AccessFs, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, path_beneath_rules,
};

use super::modules::Modules;
use crate::{complain, guard};

/// The private first argument that turns this program into the stage.
pub(crate) const STAGE: &str = "--osmo-exec-rsync";
const SEPARATOR: &str = "--";
const WRITE: &str = "w";
const READ: &str = "r";

/// What rsync needs beside its modules: its loader, its libraries, names of
/// users and of time zones.
const SYSTEM: [&str; 12] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/urandom",
];
/// Later kernels' rights are not asked for: all of these concern files.
const RIGHTS: ABI = ABI::V5;

/// The stage, told what may be reached; the program's words are to follow.
pub(super) fn command(prefix: &[OsString], modules: &Modules, config: &OsStr) -> Command {
    let mut command = guard::command(prefix, STAGE);
    command.arg(READ).arg(config);
    for module in &modules.0 {
        // Absolute, so never the separator.
        command.arg(if module.writable { WRITE } else { READ }).arg(&module.path);
    }
    command.arg(SEPARATOR);
    command
}

/// The stage's main: confines itself and stays as rsync's guard.
pub(crate) fn stage(words: &[OsString]) -> u8 {
    let Some(middle) = words.iter().position(|word| word == SEPARATOR) else { return 2 };
    let (head, argv) = (&words[..middle], &words[middle + 1..]);
    let ([agent, reach @ ..], [program, args @ ..]) = (head, argv) else { return 2 };
    let paths = |wanted: &'static str| {
        reach.chunks_exact(2).filter(move |pair| pair[0] == wanted).map(|pair| pair[1].as_os_str())
    };
    if let Err(error) = restrict(paths(READ), paths(WRITE), program) {
        complain(&format!("rsync cannot be confined: {error}"));
        return 1;
    }
    guard::guard(agent, Command::new(program).args(args).arg(super::words::log_file()))
}

fn restrict<'a>(
    read: impl Iterator<Item = &'a OsStr>,
    write: impl Iterator<Item = &'a OsStr>,
    program: &OsStr,
) -> Result<RulesetStatus, RulesetError> {
    let look = AccessFs::ReadFile | AccessFs::ReadDir;
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(RIGHTS))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, AccessFs::from_read(RIGHTS)))?
        .add_rules(path_beneath_rules([program], AccessFs::from_read(RIGHTS)))?
        .add_rules(path_beneath_rules(["/dev/null"], look | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(read, look))?
        .add_rules(path_beneath_rules(write, AccessFs::from_all(RIGHTS) & !AccessFs::Execute))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// Whether this kernel confines; tried on a thread that ends at once.
pub(super) fn works() -> bool {
    let none = std::iter::empty;
    std::thread::spawn(move || restrict(none(), none(), OsStr::new("/")))
        .join()
        .is_ok_and(|tried| tried.is_ok_and(|status| status != RulesetStatus::NotEnforced))
}
