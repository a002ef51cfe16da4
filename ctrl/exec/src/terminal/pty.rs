//! The pair of devices, and the program on its far end.

use std::os::fd::{AsFd, OwnedFd};

use osmo_protocol::terminal::Size;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::net::unix::pipe::{Receiver, Sender};

use super::Shared;
use crate::command::NOT_EXECUTABLE;
use crate::reaper::{End, Leftovers, Process};

/// Our end of a terminal, and who is at the other.
pub(super) struct Pty {
    pub(super) master: Master,
    pub(super) process: Process,
    pub(super) end: End,
}

/// Our end, once for each direction; the terminal is closed with both.
pub(super) struct Master {
    pub(super) screen: Receiver,
    pub(super) keyboard: Sender,
}

impl Master {
    fn new(device: OwnedFd) -> std::io::Result<Self> {
        // Not pipes, but read, written and waited for alike.
        let keyboard = Sender::from_owned_fd_unchecked(device.try_clone()?)?;
        Ok(Self { screen: Receiver::from_owned_fd_unchecked(device)?, keyboard })
    }
}

/// Why there is no terminal.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What its program's code would be.
    pub(super) code: u8,
    /// For the user.
    pub(super) sentence: String,
}

impl Refusal {
    pub(super) fn new(sentence: String) -> Self {
        Self { code: NOT_EXECUTABLE, sentence }
    }
}

impl Pty {
    /// Starts `argv` on a terminal of `size`.
    pub(super) fn start(argv: &[String], size: Size, shared: &Shared) -> Result<Self, Refusal> {
        let (master, slave) = pair().map_err(|error| {
            let cause = match error {
                rustix::io::Errno::NOENT => "this image has no /dev/ptmx".to_owned(),
                rustix::io::Errno::NOSPC => "the machine's limit of terminals is reached".into(),
                error => error.to_string(),
            };
            Refusal::new(format!("cannot open a terminal: {cause}"))
        })?;
        let refused = |error: std::io::Error| {
            Refusal::new(format!("cannot start the terminal's program: {error}"))
        };
        resize(&master, size);
        let master = Master::new(master).map_err(refused)?;
        let mut command = shared.program(argv);
        let copy = || slave.try_clone();
        command
            .stdin(copy().map_err(refused)?)
            .stdout(copy().map_err(refused)?)
            .stderr(copy().map_err(refused)?);
        let (_, process, end) =
            shared.reaper.spawn(&mut command, Leftovers::Live).map_err(refused)?;
        // With `command` and `slave` go our own hands on the far end.
        Ok(Self { master, process, end })
    }
}

fn pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, flags).or_else(|_| {
        let name = ptsname(&master, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::open(name, flags, Mode::empty())
    })?;
    let status = rustix::fs::fcntl_getfl(&master)?;
    rustix::fs::fcntl_setfl(&master, status | OFlags::NONBLOCK)?;
    Ok((master, slave))
}

/// Sets the window's size; the kernel tells the program. A user without a size
/// (0 × 0) changes nothing.
pub(super) fn resize(master: impl AsFd, size: Size) {
    if size.rows == 0 && size.cols == 0 {
        return;
    }
    let size = Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    let _ = tcsetwinsize(master.as_fd(), size);
}
