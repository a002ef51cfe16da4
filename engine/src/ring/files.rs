//! File operations as plain system calls on a small pool of threads.
//!
//! `epoll` has no other way. `uring` uses it for what the kernel would hand
//! to its own worker threads anyway (buffered writes, creating opens, names):
//! there a plain call on our thread costs less than the detour.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use rustix::fs::FallocateFlags;
use rustix::io::{Errno, retry_on_intr};

use super::hub::{Completion, Hub};
use super::op::{Call, Outcome, Value, cancelled, within};
use super::slots::{Slot, Token};

/// Threads of the pool: one may wait for the disk while the other works.
const THREADS: usize = 2;

/// Slices of one system call; Linux takes 1,024.
const SLICES_PER_CALL: usize = 1024;

/// A call on its way to a worker; the slot keeps the descriptors open.
struct Errand {
    token: Token,
    fd: RawFd,
    other: Option<RawFd>,
    call: Call,
}

/// The pool; dropping it lets the calls end and joins the threads.
pub(super) struct Files {
    errands: Option<Sender<Errand>>,
    threads: Vec<JoinHandle<()>>,
    hub: Arc<Hub>,
}

impl Files {
    pub(super) fn start(hub: &Arc<Hub>) -> io::Result<Self> {
        // Never full: the ring limits what is in flight.
        let (errands, waiting) = crossbeam_channel::unbounded::<Errand>();
        let mut files = Self { errands: Some(errands), threads: Vec::new(), hub: Arc::clone(hub) };
        for number in 0..THREADS {
            let (waiting, hub) = (waiting.clone(), Arc::clone(hub));
            let named = std::thread::Builder::new().name(format!("osmo-file-{number}"));
            files.threads.push(named.spawn(move || serve(&waiting, &hub))?);
        }
        Ok(files)
    }

    /// Sends the slot's call to a worker; its completion comes by the hub.
    pub(super) fn submit(&self, token: Token, slot: &mut Slot) {
        let (Some(errands), Some(call)) = (&self.errands, slot.call.take()) else { return };
        let fd = slot.fd.as_raw_fd();
        let other = slot.other.as_ref().map(|other| other.as_raw_fd());
        if let Err(returned) = errands.send(Errand { token, fd, other, call }) {
            // No worker is left: the ring must still see an end.
            let call = Some(returned.into_inner().call);
            let outcome = Err(cancelled());
            self.hub.post(|mail| mail.done.push(Completion { token, outcome, call }));
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.errands = None;
        for thread in self.threads.drain(..) {
            // A worker's panic was its last word; there is nobody to tell.
            drop(thread.join());
        }
    }
}

fn serve(waiting: &Receiver<Errand>, hub: &Hub) {
    for Errand { token, fd, other, mut call } in waiting {
        // SAFETY: R5. The slot keeps both descriptors until we report back.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        // SAFETY: R5. As above.
        let other = other.map(|other| unsafe { BorrowedFd::borrow_raw(other) });
        let outcome = perform(fd, other, &mut call);
        hub.post(|mail| mail.done.push(Completion { token, outcome, call: Some(call) }));
    }
}

pub(super) fn perform(
    fd: BorrowedFd<'_>,
    other: Option<BorrowedFd<'_>>,
    call: &mut Call,
) -> Outcome {
    match call {
        Call::Open { path, flags, mode } => {
            let open = || rustix::fs::openat(fd, path.as_c_str(), *flags, *mode);
            Ok(Value::Opened(retry_on_intr(open)?))
        }
        Call::Read { buffer, into, offset } => {
            let bytes = within(buffer, into)?;
            Ok(Value::Bytes(retry_on_intr(|| rustix::io::pread(fd, &mut *bytes, *offset))?))
        }
        Call::Write { slices, offset } => {
            let all = slices.iter().map(|slice| slice.bytes()).collect::<Vec<_>>();
            write_all(*offset, &all, |some, at| rustix::io::pwritev(fd, some, at))?;
            Ok(Value::Nothing)
        }
        Call::Sync => nothing(retry_on_intr(|| rustix::fs::fdatasync(fd))),
        Call::Allocate { bytes } => nothing(allocate(fd, *bytes)),
        Call::Rename { from, to } => {
            let to_dir = other.ok_or(io::ErrorKind::InvalidInput)?;
            nothing(rustix::fs::renameat(fd, from.as_c_str(), to_dir, to.as_c_str()))
        }
        Call::Unlink { path } => {
            nothing(rustix::fs::unlinkat(fd, path.as_c_str(), rustix::fs::AtFlags::empty()))
        }
        Call::Mkdir { path, mode } => nothing(rustix::fs::mkdirat(fd, path.as_c_str(), *mode)),
        Call::Connect { .. } | Call::Recv { .. } | Call::Send { .. } => {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

fn nothing(result: rustix::io::Result<()>) -> Outcome {
    result?;
    Ok(Value::Nothing)
}

/// Reserves, where the file system can, and sets the length.
fn allocate(fd: BorrowedFd<'_>, bytes: u64) -> rustix::io::Result<()> {
    let reserve = || rustix::fs::fallocate(fd, FallocateFlags::empty(), 0, bytes);
    match if bytes == 0 { Ok(()) } else { retry_on_intr(reserve) } {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        Err(refused) => return Err(refused),
    }
    retry_on_intr(|| rustix::fs::ftruncate(fd, bytes))
}

/// Writes everything, whatever the kernel takes at a time.
fn write_all(
    mut offset: u64,
    slices: &[&[u8]],
    mut write: impl FnMut(&[IoSlice<'_>], u64) -> rustix::io::Result<usize>,
) -> io::Result<()> {
    for group in slices.chunks(SLICES_PER_CALL) {
        let mut group = group.iter().map(|bytes| IoSlice::new(bytes)).collect::<Vec<_>>();
        let mut rest = group.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let written = match retry_on_intr(|| write(rest, offset)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(refused) => return Err(refused.into()),
            };
            offset += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that takes `step` bytes at a time.
    fn written(slices: &[&[u8]], offset: u64, step: usize) -> Vec<u8> {
        let mut file = Vec::new();
        write_all(offset, slices, |some, at| {
            assert_eq!(at, offset + file.len() as u64, "each call goes on where the last ended");
            let taken = some.iter().flat_map(|slice| slice.iter().copied()).take(step);
            let before = file.len();
            file.extend(taken);
            Ok(file.len() - before)
        })
        .expect("the file takes everything");
        file
    }

    #[test]
    fn short_writes_are_continued_in_order() {
        let slices: [&[u8]; 4] = [b"abc", b"", b"defg", b"h"];
        for step in 1..10 {
            assert_eq!(written(&slices, 77, step), b"abcdefgh", "{step} bytes at a time");
        }
    }

    #[test]
    fn more_slices_than_one_call_takes() {
        let many = vec![b"xy".as_slice(); 3 * SLICES_PER_CALL + 1];
        assert_eq!(written(&many, 0, usize::MAX), b"xy".repeat(3 * SLICES_PER_CALL + 1));
    }

    #[test]
    fn a_write_of_nothing_ends() {
        assert_eq!(written(&[], 0, 1), b"");
        assert_eq!(written(&[b"", b""], 0, 1), b"");
    }

    #[test]
    fn a_file_that_takes_nothing_is_an_error() {
        let refused = write_all(0, &[b"a"], |_, _| Ok(0)).expect_err("no progress is no success");
        assert_eq!(refused.kind(), io::ErrorKind::WriteZero);
    }
}
