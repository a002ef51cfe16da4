//! Part → [`Fetched`]: a GET's body into leased buffers.

use crate::download::race::{Won, race};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Active;
use crate::mem::{Buffer, Lease, Slice};
use crate::s3::{GetBody, GetHead, GetRequest};
use crate::site::{Site, buffer};

/// Bytes as they came, all of one part, in order from `offset` on.
#[derive(Debug)]
pub struct Fetched {
    pub(super) slices: Vec<Slice>,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// A response body under way.
pub(super) struct Fetch<'a> {
    body: GetBody,
    lease: &'a Lease,
    /// Buffers of a second request that won.
    spare: Option<Lease>,
    site: &'a Site,
    /// What was asked for, in the words of the first request.
    request: GetRequest,
    offset: u64,
    end: u64,
    failed: Option<Error>,
    _active: Active,
}

impl<'a> Fetch<'a> {
    /// Asks for `[offset, end)` of an object of `object_bytes`, which `request`
    /// says in its own words.
    pub(super) async fn open(
        site: &'a Site,
        lease: &'a Lease,
        request: GetRequest,
        (offset, end): (u64, u64),
        object_bytes: u64,
    ) -> Result<Self> {
        let scratch = buffer(lease)?;
        let active = site.hedges.active();
        let first = site.store.get(&request, scratch);
        let (body, spare) = match race(site, first, || Some(request.clone()), end - offset).await {
            Won::First(answer) => (answer.map_err(|(error, _)| error)?, None),
            Won::Second(body, spare) => (*body, Some(spare)),
        };
        let head = body.head();
        // A range may fit an object that has grown or shrunk behind it.
        let resized = head.object_bytes.is_some_and(|bytes| bytes != object_bytes);
        if resized || head.body_bytes != end - offset {
            return Err(Error::new(
                ErrorKind::Changed,
                format!(
                    "the object has another size than when it was listed ({} bytes, not \
                     {object_bytes}); run the transfer again",
                    head.object_bytes.unwrap_or(head.body_bytes)
                ),
            ));
        }
        let failed = None;
        Ok(Self { body, lease, spare, site, request, offset, end, failed, _active: active })
    }

    pub(super) fn head(&self) -> &GetHead {
        self.body.head()
    }

    /// The next bytes, as many as the free buffers hold; `None` at the end.
    /// What came before a failure is handed out before the failure is.
    pub(super) async fn next(&mut self) -> Result<Option<Fetched>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let offset = self.offset;
        let mut slices: Vec<Slice> = Vec::with_capacity(crate::site::PART_BUFFERS);
        while self.offset < self.end && self.failed.is_none() {
            let Some(buffer) = self.take() else { break };
            let Some((filled, buffer)) = self.fill(buffer).await else { continue };
            if filled > 0 {
                slices.push(Slice { buffer, start: 0, end: filled });
            }
        }
        if slices.is_empty() {
            return match self.failed.take() {
                Some(error) => Err(error),
                None if self.offset < self.end => Err(buffer(self.lease).map_or_else(
                    |error| error,
                    |_| Error::new(ErrorKind::Internal, "a free buffer was overlooked"),
                )),
                None => Ok(None),
            };
        }
        Ok(Some(Fetched { slices, offset, bytes: self.offset - offset }))
    }

    fn take(&self) -> Option<Buffer> {
        self.lease.take().or_else(|| self.spare.as_ref()?.take())
    }

    /// Fills the buffer; `None` when another answer brings its bytes anew.
    async fn fill(&mut self, mut buffer: Buffer) -> Option<(usize, Buffer)> {
        let due = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let room = buffer.len().min(due);
        let mut filled = 0;
        while filled < room {
            let allowed = self.allowed(room - filled).await;
            let first = self.body.read(buffer, filled..filled + allowed);
            let (site, missing) = (self.site, self.end - self.offset);
            let rest = || self.request.rest(self.offset, self.end);
            let (read, back) = match race(site, first, rest, missing).await {
                Won::First(ended) => ended,
                Won::Second(body, spare) => {
                    self.unused(allowed + filled);
                    (self.body, self.spare) = (*body, Some(spare));
                    return None;
                }
            };
            buffer = back;
            self.unused(allowed - read.as_ref().map_or(0, |count| *count));
            match read {
                Ok(0) => {
                    self.failed = Some(Error::new(
                        ErrorKind::Unreachable,
                        "the response ended before its last byte",
                    ));
                    break;
                }
                Ok(count) => filled += count,
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        self.offset += filled as u64;
        self.site.hedges.moved(filled as u64);
        Some((filled, buffer))
    }

    /// How many of `wanted` bytes may be read now; waits for the job's pace.
    async fn allowed(&self, wanted: usize) -> usize {
        let Some(pace) = &self.site.pace else { return wanted };
        let bytes = wanted.min(usize::try_from(pace.bite()).unwrap_or(usize::MAX));
        self.site.paced(bytes as u64).await;
        bytes
    }

    fn unused(&self, bytes: usize) {
        if let Some(pace) = &self.site.pace {
            pace.give_back(bytes as u64);
        }
    }

    /// Gives the connection back; only after `next` said `None`.
    pub(super) fn finish(self) {
        #[cfg(feature = "mutants")]
        if crate::sim::plants(crate::sim::Mutant::LeaseLeak) {
            std::mem::forget(self.lease.take());
        }
        drop(self.body.finish());
    }
}
