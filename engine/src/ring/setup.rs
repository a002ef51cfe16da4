//! Which driver a ring gets, and why.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::driver::Driver;
use super::epoll::Epoll;
use super::hub::Hub;
#[cfg(feature = "sim")]
use super::sim::Sim;
use super::uring::Uring;
use crate::config::IoChoice;
use crate::error::{Error, ErrorKind, Result};
use crate::report::IoReport;

/// What the kernel granted and refused when the ring opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What is in use.
    pub granted: Vec<&'static str>,
    /// What is not, each with its reason.
    pub refused: Vec<Refusal>,
}

/// One thing that is not in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The capability.
    pub what: &'static str,
    /// The kernel's or the library's reason.
    pub why: String,
}

impl Capabilities {
    pub(super) fn grant(&mut self, what: &'static str) {
        self.granted.push(what);
    }

    pub(super) fn refuse(&mut self, what: &'static str, why: impl ToString) {
        self.refused.push(Refusal { what, why: why.to_string() });
    }
}

/// Opens the driver that `choice` asks for.
pub(super) fn open(choice: IoChoice, hub: &Arc<Hub>) -> Result<(Driver, Capabilities, IoReport)> {
    open_with(choice, hub, |record| Uring::open(hub, record, 0))
}

/// The same with the attempt on io_uring passed in.
fn open_with(
    choice: IoChoice,
    hub: &Arc<Hub>,
    uring: impl FnOnce(&mut Capabilities) -> io::Result<Uring>,
) -> Result<(Driver, Capabilities, IoReport)> {
    let mut record = Capabilities::default();
    let reason = match choice {
        #[cfg(feature = "sim")]
        IoChoice::Sim => {
            let reason = "asked for by the caller".to_owned();
            let report = IoReport { driver: "sim", reason, fell_back: false };
            return Ok((Driver::Sim(Sim::open()?), record, report));
        }
        IoChoice::Epoll => "asked for by the caller".to_owned(),
        IoChoice::Auto | IoChoice::Uring => match uring(&mut record) {
            Ok(uring) => {
                let reason = match choice {
                    IoChoice::Uring => "asked for by the caller",
                    _ => "io_uring is available",
                };
                let report =
                    IoReport { driver: "uring", reason: reason.to_owned(), fell_back: false };
                return Ok((Driver::Uring(uring), record, report));
            }
            Err(refused) => fall_back(choice, refused)?,
        },
    };
    let epoll = Epoll::open(hub).map_err(|refused| {
        let sentence = "cannot open an epoll instance; raise the open-file or process limit";
        Error::new(ErrorKind::Local, sentence).because(refused)
    })?;
    record.grant("epoll");
    Ok((
        Driver::Epoll(epoll),
        record,
        IoReport { driver: "epoll", reason, fell_back: choice == IoChoice::Auto },
    ))
}

/// Why `auto` goes on without io_uring, or the error if it must not.
fn fall_back(choice: IoChoice, refused: io::Error) -> Result<String> {
    let errno = Errno::from_io_error(&refused);
    let cause = match errno {
        Some(Errno::NOSYS) => "ENOSYS: the kernel lacks it or the container hides it",
        Some(Errno::PERM) => "EPERM: the container's seccomp profile or a sysctl forbids it",
        Some(Errno::ACCESS) => "EACCES: a security module forbids it",
        Some(Errno::NOMEM) => "ENOMEM: the locked-memory limit or the memory is too small",
        Some(Errno::INVAL) | None if too_old(&refused) => {
            "the kernel's io_uring is too old for deadlines, probes or one of the operations"
        }
        _ => {
            let sentence = "cannot open an io_uring; choose `epoll`, or raise the open-file limit";
            return Err(Error::new(ErrorKind::Local, sentence).because(refused));
        }
    };
    if choice == IoChoice::Auto {
        return Ok(format!("io_uring is refused ({cause})"));
    }
    let sentence =
        format!("io_uring was asked for and is refused ({cause}); allow it or use epoll");
    Err(Error::new(ErrorKind::Unsupported, sentence).because(refused))
}

/// Whether the kernel knows io_uring but not what a ring here needs.
fn too_old(refused: &io::Error) -> bool {
    refused.kind() == io::ErrorKind::Unsupported || refused.kind() == io::ErrorKind::InvalidInput
}

#[cfg(test)]
mod refused;
#[cfg(test)]
mod rungs;

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(choice: IoChoice, errno: Errno) -> Result<(Driver, Capabilities, IoReport)> {
        let hub = Arc::new(Hub::new().expect("an eventfd"));
        open_with(choice, &hub, |_| Err(errno.into()))
    }

    #[test]
    fn auto_falls_back_and_says_why() {
        for (errno, name) in [
            (Errno::NOSYS, "ENOSYS"),
            (Errno::PERM, "EPERM"),
            (Errno::ACCESS, "EACCES"),
            (Errno::NOMEM, "ENOMEM"),
        ] {
            let (_, _, report) = opened(IoChoice::Auto, errno).expect("epoll opens");
            assert_eq!(report.driver, "epoll");
            assert_eq!(report.reason.matches(name).count(), 1, "{}", report.reason);
        }
    }

    #[test]
    fn uring_or_nothing_is_refused_with_the_cause() {
        let Err(refused) = opened(IoChoice::Uring, Errno::PERM) else {
            panic!("a refused driver cannot open");
        };
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        assert!(refused.to_string().contains("EPERM"), "{refused}");
    }

    #[test]
    fn auto_goes_on_without_an_old_uring() {
        for old in [io::ErrorKind::Unsupported.into(), io::Error::from(Errno::INVAL)] {
            let reason = fall_back(IoChoice::Auto, old).expect("too old is no failure");
            assert!(reason.contains("too old"), "{reason}");
        }
    }

    #[test]
    fn an_exhausted_process_is_no_reason_to_fall_back() {
        assert!(opened(IoChoice::Auto, Errno::MFILE).is_err());
    }
}
