//! `osmo exec`: a program in a task, on this terminal.
//!
//! ```text
//! keys ─► reader thread ─► escape ─┐                     ┌─► writer thread ─► screen
//!                                  ├─► router pair ◄──► task's terminal
//! SIGWINCH ─► size ────────────────┘                     └─► exit code, where the task tells it
//! ```
//!
//! With a terminal here it is raw while the program runs, and as it was
//! before afterwards. Without one (`echo ls | osmo exec …`) what stdin holds is
//! typed, then ^D: the program over there has a terminal in any case.
//! Enter `~` `.` leaves.

mod console;
mod converse;
mod escape;
mod group;

use std::time::Duration;

use osmo_protocol::logger::Route;
use osmo_protocol::router::PairKind;

use super::flags::Exec;
use super::order;
use super::service::{Service, encode};
use super::trouble::Trouble;
use crate::exit::Exit;
use crate::progress::say;
use console::Console;
use converse::{Ended, converse};

/// Before a lost program is run again.
const AGAIN: Duration = Duration::from_secs(5);

pub(crate) async fn run(flags: Exec) -> Result<Exit, Trouble> {
    let service = Service::open(&flags.service)?;
    let command = command(&flags)?;
    if let Some(group) = &flags.group {
        return group::run(&service, &flags, group, &command).await;
    }
    let task = order::task(&service, &flags.workflow, flags.task.clone()).await?;
    let mut console = Console::open(!flags.no_escape);
    loop {
        let lost = match attempt(&service, &flags, &task, &command, &mut console).await {
            Ok(Ended::Code(code)) => return Ok(Exit::Command(code_of(code))),
            Ok(Ended::Closed) => return Ok(Exit::Success),
            Ok(Ended::Left) => {
                say("left; the program has been hung up");
                return Ok(Exit::Command(255));
            }
            Ok(Ended::Signal(number)) => return Ok(Exit::Command(code_of(128 + number))),
            Ok(Ended::Cut) => Trouble::Transient(format!(
                "task {task} closed the terminal before its program's end was told: is its \
                 sidecar alive? --keep-alive runs the program again"
            )),
            Ok(Ended::Silent) => Trouble::Transient(format!(
                "task {task} of {} did not answer within {} s: is its sidecar alive?",
                flags.workflow, flags.connect_timeout
            )),
            Ok(Ended::Broken(why)) => Trouble::Transient(format!(
                "the connection to task {task} was lost: {why}; --keep-alive runs the program again"
            )),
            Err(trouble) => trouble,
        };
        if !flags.keep_alive || !lost.may_pass() {
            return Err(lost);
        }
        say(&format!("osmo: {lost}; again in {} s", AGAIN.as_secs()));
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            number = super::asked_to_end() => return Ok(Exit::Command(code_of(128 + number))),
        }
    }
}

async fn attempt(
    service: &Service,
    flags: &Exec,
    task: &str,
    command: &str,
    console: &mut Console,
) -> Result<Ended, Trouble> {
    let what = format!("exec/task/{}?entry_command={}", encode(task), encode(command));
    let wait = Duration::from_secs(flags.connect_timeout);
    let begin = async {
        let route: Route =
            order::place(service, &flags.workflow, &what, Duration::from_secs(flags.wait)).await?;
        service.dial(PairKind::Exec, &flags.workflow, &route, wait).await
    };
    let socket = tokio::select! {
        socket = begin => socket?,
        number = super::asked_to_end() => return Ok(Ended::Signal(number)),
    };
    Ok(converse(socket, console, wait).await)
}

/// The command as one line, which the task splits as a shell would.
fn command(flags: &Exec) -> Result<String, Trouble> {
    if let Some(entry) = &flags.entry {
        return Ok(entry.clone());
    }
    if flags.command.is_empty() {
        return Ok("/bin/bash".into());
    }
    shlex::try_join(flags.command.iter().map(String::as_str))
        .map_err(|_| Trouble::Usage("a command cannot hold a NUL".into()))
}

/// As the shell sees it.
fn code_of(code: i32) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(255)
}
