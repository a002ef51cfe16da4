//! The end of a terminal whose user left.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::termios::tcgetpgrp;
use tokio::time::{Instant, sleep, timeout};

use super::pty::Master;
use crate::reaper::{End, Ended, Process};

/// How long a program may take to leave after SIGHUP.
const GRACE: Duration = Duration::from_secs(2);
/// How long the kernel may take to let a killed one go.
const KILLED: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// Hangs up, and after [`GRACE`] kills the program and what ran in the
/// foreground.
pub(super) async fn hang_up(master: Master, process: &Process, end: &mut End) -> Option<Ended> {
    let begin = Instant::now();
    let front = tcgetpgrp(&master.screen).ok().map(|pid| Pid::from_raw(pid.as_raw_nonzero().get()));
    // The kernel now sends SIGHUP to the session's leader and foreground.
    drop(master);
    process.signal(Signal::SIGHUP);
    process.signal(Signal::SIGCONT);
    let mut ended = timeout(GRACE, end.wait()).await.ok();
    if ended.is_none() {
        process.signal_group(Signal::SIGKILL);
        process.signal(Signal::SIGKILL);
        ended = timeout(KILLED, end.wait()).await.ok();
    }
    let groups = [Some(process.pid()), front];
    while !members(process.pid(), &groups).is_empty() {
        if begin.elapsed() < GRACE {
            sleep(LOOK).await;
            continue;
        }
        members(process.pid(), &groups).into_iter().for_each(|pid| {
            let _ = kill(pid, Signal::SIGKILL);
        });
        break;
    }
    ended
}

/// The living processes of `session` that are in one of `groups`; none where
/// there is no `/proc`.
fn members(session: Pid, groups: &[Option<Pid>]) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.map(Pid::from_raw)
        .filter(|pid| {
            let place = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            let place = place.ok().and_then(|stat| group_and_session(&stat));
            place.is_some_and(|(group, of)| of == session && groups.contains(&Some(group)))
        })
        .collect()
}

/// From a line of `/proc/PID/stat`; `None` for one that is dead.
fn group_and_session(stat: &str) -> Option<(Pid, Pid)> {
    // The name, in brackets, may hold anything.
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    let state = words.next()?;
    let mut numbers = words.skip(1).map_while(|word| word.parse().ok().map(Pid::from_raw));
    let place = (numbers.next()?, numbers.next()?);
    (!matches!(state, "Z" | "X")).then_some(place)
}

#[cfg(test)]
mod tests {
    use nix::unistd::Pid;

    use super::group_and_session;

    #[test]
    fn the_kernel_s_line_is_read() {
        let pair = (Pid::from_raw(77), Pid::from_raw(70));
        assert_eq!(group_and_session("80 (a) R 1) S 1 77 70 34816 77 4194304"), Some(pair));
        assert_eq!(group_and_session("80 (sh) Z 1 77 70 34816 77"), None);
        assert_eq!(group_and_session("80 (sh"), None);
    }
}
