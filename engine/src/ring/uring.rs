//! The operations over io_uring.
//!
//! Which ones go through the ring is decided here: sockets, reads and
//! `fdatasync` do, and opens that create nothing. Buffered writes, creating
//! opens, reservations and names go to the worker pool: the kernel would hand
//! them to threads of its own, which costs more than a plain call on ours.
//!
//! One `io_uring_enter` per turn submits what was queued, runs the kernel's
//! deferred work and waits, so a busy task never delays completions.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::types::{self, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{Builder, IoUring, Probe, opcode};
use rustix::fs::OFlags;

use super::files::Files;
use super::hub::{Completion, Hub};
use super::op::{Call, Outcome, Value};
use super::setup::Capabilities;
use super::slots::{Slot, Slots, Token};

/// Operations that one enter can submit.
const SQ_ENTRIES: u32 = 256;

/// Completions that fit before the kernel has to keep them elsewhere.
const CQ_ENTRIES: u32 = 4 * SQ_ENTRIES;

/// Operations in flight: each may have a cancellation beside it, and the hub
/// has its poll, and all of their completions fit.
const IN_FLIGHT: usize = 510;
const _: () = assert!(2 * IN_FLIGHT < CQ_ENTRIES as usize);

/// The kernel's own threads per ring: bounded (files) and unbounded (others).
const KERNEL_THREADS: [u32; 2] = [2, 4];

/// Names that no slot has: its generation and place would have to be full.
const WAKE: u64 = u64::MAX;
const CANCEL: u64 = u64::MAX - 1;

/// What the ring must know to do.
const NEEDED: [(u8, &str); 8] = [
    (opcode::Connect::CODE, "connect"),
    (opcode::Recv::CODE, "recv"),
    (opcode::Send::CODE, "send"),
    (opcode::Read::CODE, "read"),
    (opcode::OpenAt::CODE, "openat"),
    (opcode::Fsync::CODE, "fsync"),
    (opcode::PollAdd::CODE, "poll"),
    (opcode::AsyncCancel::CODE, "cancel"),
];

pub(super) struct Uring {
    ring: IoUring,
    hub: Arc<Hub>,
    /// Whether a poll of the hub's eventfd is in flight.
    listening: bool,
    /// Cancellations that found no room; at most one per operation.
    cancels: Vec<Token>,
    files: Files,
}

impl Uring {
    /// Opens a ring that the calling thread alone uses, on the best rung that
    /// the kernel has from `rung` on.
    pub(super) fn open(hub: &Arc<Hub>, record: &mut Capabilities, rung: usize) -> io::Result<Self> {
        let ring = climb(record, &RUNGS[rung..])?;
        require(&ring)?;
        match ring.submitter().register_iowq_max_workers(&mut { KERNEL_THREADS }) {
            Ok(()) => record.grant("kernel thread limit"),
            Err(refused) => record.refuse("kernel thread limit", refused),
        }
        let files = Files::start(hub)?;
        Ok(Self { ring, hub: Arc::clone(hub), listening: false, cancels: Vec::new(), files })
    }

    pub(super) fn limit(&self) -> usize {
        IN_FLIGHT
    }

    pub(super) fn submit(&mut self, token: Token, slot: &mut Slot) -> Option<Completion> {
        let Some(entry) = entry(slot) else {
            self.files.submit(token, slot);
            return None;
        };
        let refused = self.push(&entry.user_data(token.0)).err()?;
        Some(Completion { token, outcome: Err(refused), call: None })
    }

    /// Asks the kernel to end an operation early; its completion comes in any
    /// case. Those of the worker pool just go on.
    pub(super) fn cancel(&mut self, token: Token, slot: &Slot) {
        if slot.call.is_some() {
            self.cancels.push(token);
            self.push_cancels();
        }
    }

    /// Passes the cancellations on; those that find no room are tried again
    /// with the next turn.
    fn push_cancels(&mut self) {
        while let Some(token) = self.cancels.pop() {
            let cancel = opcode::AsyncCancel::new(token.0).build().user_data(CANCEL);
            if self.push(&cancel).is_err() {
                self.cancels.push(token);
                return;
            }
        }
    }

    pub(super) fn turn(
        &mut self,
        wait: Option<Duration>,
        slots: &mut Slots,
        done: &mut Vec<Completion>,
    ) -> io::Result<()> {
        self.push_cancels();
        self.listen()?;
        match self.enter(wait) {
            Ok(_) => {}
            Err(error) => match error.raw_os_error() {
                // Nothing came in time, a signal came, or the kernel wants its
                // completions taken first.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => {}
                _ => return Err(error),
            },
        }
        for completion in self.ring.completion() {
            match completion.user_data() {
                WAKE => {
                    self.listening = false;
                    self.hub.quiet();
                }
                CANCEL => {}
                token => {
                    let token = Token(token);
                    let call = slots.get(token).and_then(|slot| slot.call.as_ref());
                    let outcome = outcome(call, completion.result());
                    done.push(Completion { token, outcome, call: None });
                }
            }
        }
        Ok(())
    }

    fn enter(&self, wait: Option<Duration>) -> io::Result<usize> {
        let Some(wait) = wait else { return self.ring.submitter().submit_and_wait(1) };
        let limit = Timespec::new().sec(wait.as_secs()).nsec(wait.subsec_nanos());
        self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&limit))
    }

    /// Keeps a poll of the hub's eventfd in flight.
    fn listen(&mut self) -> io::Result<()> {
        if !self.listening {
            let event = types::Fd(self.hub.as_fd().as_raw_fd());
            let readable = u32::from(libc::POLLIN.cast_unsigned());
            self.push(&opcode::PollAdd::new(event, readable).build().user_data(WAKE))?;
            self.listening = true;
        }
        Ok(())
    }

    fn push(&mut self, entry: &Entry) -> io::Result<()> {
        for _ in 0..2 {
            // SAFETY: R1. What the entry points to is in its slot, which stays
            // until the completion, or is the hub's descriptor.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            self.ring.submit()?;
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

/// The kernel's request for the slot's call; `None` for the worker pool's.
/// The addresses in it stay good while the slot is untouched (R1, R2).
fn entry(slot: &mut Slot) -> Option<Entry> {
    let fd = types::Fd(slot.fd.as_raw_fd());
    Some(match slot.call.as_mut()? {
        Call::Connect { to } => opcode::Connect::new(fd, to.as_ptr().cast(), to.addr_len()).build(),
        Call::Recv { buffer, into } => {
            let bytes = &mut buffer[into.clone()];
            opcode::Recv::new(fd, bytes.as_mut_ptr(), length(bytes)).build()
        }
        Call::Send { slice } => {
            let bytes = slice.bytes();
            let send = opcode::Send::new(fd, bytes.as_ptr(), length(bytes));
            send.flags(libc::MSG_NOSIGNAL).build()
        }
        Call::Read { buffer, into, offset } => {
            let bytes = &mut buffer[into.clone()];
            let read = opcode::Read::new(fd, bytes.as_mut_ptr(), length(bytes));
            read.offset(*offset).build()
        }
        Call::Open { path, flags, mode } if !creates(*flags) => {
            let open = opcode::OpenAt::new(fd, path.as_ptr());
            open.flags(flags.bits().cast_signed()).mode(mode.as_raw_mode()).build()
        }
        Call::Sync => opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build(),
        Call::Open { .. }
        | Call::Write { .. }
        | Call::Allocate { .. }
        | Call::Rename { .. }
        | Call::Unlink { .. }
        | Call::Mkdir { .. } => return None,
    })
}

fn creates(flags: OFlags) -> bool {
    flags.intersects(OFlags::CREATE | OFlags::TRUNC | OFlags::TMPFILE)
}

/// The kernel counts 32 bits; a longer buffer is used in part.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// What a completion says about the call.
fn outcome(call: Option<&Call>, result: i32) -> Outcome {
    let count = usize::try_from(result)
        .map_err(|_| io::Error::from_raw_os_error(result.saturating_neg()))?;
    Ok(match call {
        Some(Call::Open { .. }) => {
            // SAFETY: R4. A new descriptor that this completion alone names.
            Value::Opened(unsafe { OwnedFd::from_raw_fd(result) })
        }
        Some(Call::Recv { .. } | Call::Send { .. } | Call::Read { .. }) => Value::Bytes(count),
        _ => Value::Nothing,
    })
}

type Rung = (&'static str, fn(&mut Builder));

/// Ways to set a ring up, the best one first.
pub(super) const RUNGS: [Rung; 3] = [
    ("single issuer, deferred task work", |ring| {
        ring.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
    }),
    ("cooperative task work", |ring| {
        ring.setup_coop_taskrun().setup_taskrun_flag();
    }),
    ("plain ring", |_| {}),
];

/// Opens the first ring that the kernel has.
fn climb(record: &mut Capabilities, rungs: &[Rung]) -> io::Result<IoUring> {
    let mut last = io::Error::from(io::ErrorKind::Unsupported);
    for &(what, choose) in rungs {
        let mut builder = IoUring::builder();
        builder.dontfork().setup_cqsize(CQ_ENTRIES);
        choose(&mut builder);
        match builder.build(SQ_ENTRIES) {
            Ok(ring) => {
                record.grant(what);
                return Ok(ring);
            }
            Err(refused) => {
                record.refuse(what, &refused);
                last = refused;
            }
        }
        // Only an unknown flag is worth another try.
        if last.raw_os_error() != Some(libc::EINVAL) {
            break;
        }
    }
    Err(last)
}

/// Whether the ring can do what we need.
fn require(ring: &IoUring) -> io::Result<()> {
    let lacks = |what: &str| {
        let told = format!("this kernel's io_uring lacks {what}");
        Err(io::Error::new(io::ErrorKind::Unsupported, told))
    };
    let params = ring.params();
    if !params.is_feature_ext_arg() || !params.is_feature_nodrop() {
        return lacks("waits with a deadline");
    }
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    match NEEDED.iter().find(|(code, _)| !probe.is_supported(*code)) {
        Some((_, what)) => lacks(what),
        None => Ok(()),
    }
}
