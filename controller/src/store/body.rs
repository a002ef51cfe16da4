//! The body of a GET: data files to the socket with one copy and no digest.
//!
//! Reads go into recycled buffers. A read is first tried without waiting
//! (`RWF_NOWAIT`): what the page cache holds is sent from the connection's own
//! task, and only a read that would wait for the disk goes to a worker thread.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use s3s::StdError;
use s3s::stream::{ByteStream, RemainingLength};
use tokio::task::JoinHandle;

use super::object::Object;

/// Bytes of one read: large enough that a system call costs little beside its
/// copy, small enough that buffer and socket copy stay in the second-level cache.
const READ_BYTES: usize = 256 << 10;
/// Idle buffers kept for the next read (16 MiB).
const IDLE_BUFFERS_MAX: usize = 64;

/// Streams a range of an object.
pub(super) struct ObjectBody {
    object: Arc<Object>,
    pool: Arc<BufferPool>,
    /// What is still to be sent, as offsets into the object.
    left: Range<u64>,
    open: Option<OpenSegment>,
    state: State,
}

struct OpenSegment {
    file: Arc<File>,
    /// The segment's place in the object.
    span: Range<u64>,
}

enum State {
    Ready,
    Waiting(JoinHandle<(Buffer, io::Result<usize>)>),
}

impl ObjectBody {
    pub(super) fn new(object: Arc<Object>, range: Range<u64>, pool: Arc<BufferPool>) -> Self {
        Self { object, pool, left: range, open: None, state: State::Ready }
    }

    /// The open segment that holds the next byte.
    fn segment(&mut self) -> io::Result<(&Arc<File>, Range<u64>)> {
        let at = self.left.start;
        if self.open.as_ref().is_none_or(|open| !open.span.contains(&at)) {
            let (index, span) = self.find(at)?;
            let file = Arc::new(File::open(self.object.files[index].path())?);
            self.open = Some(OpenSegment { file, span });
        }
        match &self.open {
            Some(open) => Ok((&open.file, open.span.clone())),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn find(&self, at: u64) -> io::Result<(usize, Range<u64>)> {
        let mut start = 0;
        for (index, segment) in self.object.info.segments.iter().enumerate() {
            let end = start + segment.bytes;
            if (start..end).contains(&at) && index < self.object.files.len() {
                return Ok((index, start..end));
            }
            start = end;
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// Reads what the cache holds, or hands the read to a worker thread.
    fn read(&mut self) -> io::Result<Option<Bytes>> {
        let left = self.left.clone();
        let mut buffer = self.pool.take();
        let (file, span) = self.segment()?;
        let offset = left.start - span.start;
        let want = READ_BYTES.min(to_usize(left.end.min(span.end) - left.start));
        let flags = ReadWriteFlags::NOWAIT;
        match preadv2(file, &mut [IoSliceMut::new(&mut buffer.bytes[..want])], offset, flags) {
            Ok(read) if read > 0 => return Ok(Some(self.send(buffer, read))),
            // Not cached, or a file system without RWF_NOWAIT.
            Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let file = Arc::clone(file);
        self.state = State::Waiting(tokio::task::spawn_blocking(move || {
            use std::os::unix::fs::FileExt as _;
            let result = file.read_at(&mut buffer.bytes[..want], offset);
            (buffer, result)
        }));
        Ok(None)
    }

    fn send(&mut self, mut buffer: Buffer, read: usize) -> Bytes {
        buffer.filled = read;
        self.left.start += read as u64;
        Bytes::from_owner(buffer)
    }
}

impl Stream for ObjectBody {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let State::Waiting(job) = &mut self.state {
                let done = ready!(Pin::new(job).poll(cx));
                self.state = State::Ready;
                let (buffer, result) = done?;
                return Poll::Ready(Some(match result {
                    Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                    Ok(read) => Ok(self.send(buffer, read)),
                    Err(error) => Err(error.into()),
                }));
            }
            if self.left.is_empty() {
                return Poll::Ready(None);
            }
            match self.read() {
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }
}

impl ByteStream for ObjectBody {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(to_usize(self.left.end - self.left.start))
    }
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Read buffers that come back when the socket has taken their bytes.
#[derive(Debug, Default)]
pub(super) struct BufferPool {
    idle: Mutex<Vec<Box<[u8]>>>,
}

impl BufferPool {
    fn take(self: &Arc<Self>) -> Buffer {
        // The last one back is the one that a cache still holds.
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = idle.unwrap_or_else(|| vec![0; READ_BYTES].into_boxed_slice());
        Buffer { bytes, filled: 0, pool: Arc::clone(self) }
    }
}

struct Buffer {
    bytes: Box<[u8]>,
    filled: usize,
    pool: Arc<BufferPool>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_BUFFERS_MAX {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}
