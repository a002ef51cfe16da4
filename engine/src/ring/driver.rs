//! The ways to perform an operation, chosen once when the ring opens.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with, sockopt};

use super::epoll::Epoll;
use super::hub::Completion;
#[cfg(feature = "sim")]
use super::sim::Sim;
use super::slots::{Slot, Slots, Token};
use super::uring::Uring;

/// How operations get done.
#[allow(clippy::large_enum_variant)] // there is one per thread
pub(super) enum Driver {
    Uring(Uring),
    Epoll(Epoll),
    #[cfg(feature = "sim")]
    Sim(Sim),
}

impl Driver {
    /// A non-blocking stream socket, to be connected to `to`.
    pub(super) fn socket(&mut self, to: SocketAddr) -> io::Result<OwnedFd> {
        #[cfg(feature = "sim")]
        if let Self::Sim(sim) = self {
            return sim.socket();
        }
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        Ok(socket)
    }

    /// Operations that it may hold at once.
    pub(super) fn limit(&self) -> usize {
        match self {
            Self::Uring(uring) => uring.limit(),
            Self::Epoll(epoll) => epoll.limit(),
            #[cfg(feature = "sim")]
            Self::Sim(sim) => sim.limit(),
        }
    }

    /// Begins the slot's operation; `Some` if that was all.
    pub(super) fn submit(&mut self, token: Token, slot: &mut Slot) -> Option<Completion> {
        match self {
            Self::Uring(uring) => uring.submit(token, slot),
            Self::Epoll(epoll) => epoll.submit(token, slot),
            #[cfg(feature = "sim")]
            Self::Sim(sim) => {
                sim.submit(token, slot);
                None
            }
        }
    }

    /// Asks for an early end of an operation in flight. True if it has ended
    /// already and no completion will come.
    pub(super) fn cancel(&mut self, token: Token, slot: &Slot) -> bool {
        match self {
            Self::Uring(uring) => {
                uring.cancel(token, slot);
                false
            }
            Self::Epoll(epoll) => epoll.cancel(token, slot),
            #[cfg(feature = "sim")]
            Self::Sim(sim) => sim.cancel(token, slot),
        }
    }

    /// Lets the kernel work, waits for at most `wait` (`None`: until
    /// something happens), and collects what ended.
    pub(super) fn turn(
        &mut self,
        wait: Option<Duration>,
        slots: &mut Slots,
        done: &mut Vec<Completion>,
    ) -> io::Result<()> {
        match self {
            Self::Uring(uring) => uring.turn(wait, slots, done),
            Self::Epoll(epoll) => epoll.turn(wait, slots, done),
            #[cfg(feature = "sim")]
            Self::Sim(sim) => {
                sim.turn(wait, slots, done);
                Ok(())
            }
        }
    }
}
