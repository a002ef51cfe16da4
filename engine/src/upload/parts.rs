//! One file on its shard: in one request, or its parts in lanes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::digest::{Algorithm, Combined};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Retry;
use crate::job::IfExists;
use crate::part::{Cut, Part};
use crate::ring::Fd;
use crate::s3::{PartDone, PutRequest};
use crate::site::{Site, buffer};
use crate::upload::send::{Sent, send};
use crate::upload::{FileOrder, LANES_MAX, Uploads, content_type, plan, read, seal};

/// All parts of a file, acknowledged.
#[derive(Debug)]
pub struct PartsDone {
    /// In order of their numbers.
    pub parts: Vec<PartDone>,
    /// CRC64NVME of the whole, base64.
    pub crc64nvme: String,
    /// Whether the store named the checksum of every part.
    pub confirmed: bool,
}

impl Uploads {
    /// One request; the checksum that the store confirmed.
    pub(super) async fn whole(&self, order: &FileOrder) -> Result<Option<Algorithm>> {
        let fd = read::open(&self.site.ring, &self.root, order).await?;
        let cut = Cut::new(order.stamp.bytes, order.stamp.bytes.max(1), 1);
        let lanes = Lanes {
            site: &self.site,
            order,
            fd: &fd,
            upload: None,
            only_new: self.if_exists != IfExists::Overwrite,
        };
        let Some(part) = cut.part(1) else { return Err(no_plan()) };
        let sent = lanes.part(part).await?;
        Ok(sent.confirmed.then_some(Algorithm::Crc64Nvme))
    }

    /// All parts of a multipart upload.
    ///
    /// # Errors
    /// The first failure; the other lanes are then ended.
    pub async fn parts(&self, order: &FileOrder, upload: &Arc<str>) -> Result<PartsDone> {
        let fd = read::open(&self.site.ring, &self.root, order).await?;
        let cut = plan::cut(order.stamp.bytes);
        let done = Rc::new(Done::new(order.stamp.bytes));
        let lanes: Vec<_> = (0..cut.parts().min(LANES_MAX))
            .map(|_| {
                let (site, order, fd) = (self.site.clone(), order.clone(), Rc::clone(&fd));
                let (upload, done) = (Arc::clone(upload), Rc::clone(&done));
                self.site.ring.spawn(async move {
                    let lanes = Lanes {
                        site: &site,
                        order: &order,
                        fd: &fd,
                        upload: Some(&upload),
                        only_new: false,
                    };
                    lanes.lane(cut, &done).await
                })
            })
            .collect();
        for lane in lanes {
            lane.await?;
        }
        read::unchanged(&fd, order)?;
        done.collect()
    }
}

/// What the lanes of one file fill.
struct Done {
    next: Cell<u32>,
    failed: Cell<bool>,
    confirmed: Cell<bool>,
    parts: RefCell<Vec<PartDone>>,
    combined: RefCell<Combined>,
}

impl Done {
    fn new(bytes: u64) -> Self {
        Self {
            next: Cell::new(1),
            failed: Cell::new(false),
            confirmed: Cell::new(true),
            parts: RefCell::default(),
            combined: RefCell::new(Combined::new(Algorithm::Crc64Nvme, bytes)),
        }
    }

    fn add(&self, part: Part, sent: &Sent) -> Result<()> {
        let Some(etag) = sent.etag.clone() else {
            let sentence = "the store acknowledged a part without an entity tag";
            return Err(Error::new(ErrorKind::Protocol, sentence));
        };
        self.combined.borrow_mut().add(sent.range, &sent.digest);
        self.confirmed.set(self.confirmed.get() && sent.confirmed);
        let number = i32::try_from(part.number).map_err(|_| no_plan())?;
        let crc64nvme = Some(Algorithm::Crc64Nvme.encode(sent.digest.value()));
        self.parts.borrow_mut().push(PartDone { number, etag, crc64nvme });
        Ok(())
    }

    fn collect(&self) -> Result<PartsDone> {
        let mut parts = self.parts.take();
        parts.sort_unstable_by_key(|part| part.number);
        let value = self.combined.borrow().value().ok_or_else(no_plan)?;
        let crc64nvme = Algorithm::Crc64Nvme.encode(value);
        Ok(PartsDone { parts, crc64nvme, confirmed: self.confirmed.get() })
    }
}

fn no_plan() -> Error {
    Error::new(ErrorKind::Internal, "the parts do not cover the file")
}

/// What one lane works with.
struct Lanes<'a> {
    site: &'a Site,
    order: &'a FileOrder,
    fd: &'a Fd,
    upload: Option<&'a Arc<str>>,
    /// Whether an object that is there stays.
    only_new: bool,
}

impl Lanes<'_> {
    async fn lane(&self, cut: Cut, done: &Done) -> Result<()> {
        loop {
            let number = done.next.get();
            let Some(part) = cut.part(number).filter(|_| !done.failed.get()) else {
                return Ok(());
            };
            done.next.set(number + 1);
            let ended = match self.part(part).await {
                Ok(sent) => done.add(part, &sent),
                Err(error) => Err(error),
            };
            done.failed.set(done.failed.get() || ended.is_err());
            ended?;
        }
    }

    /// One part through all of its attempts.
    async fn part(&self, part: Part) -> Result<Sent> {
        let (site, order) = (self.site, self.order);
        let _pass = site.gate.enter().await;
        let lease = site.lease(part.range.len()).await;
        let mut scratch = buffer(&lease)?;
        let mut sealed = seal::seal(&site.ring, self.fd, order, &lease, part.range).await?;
        read::unchanged(self.fd, order)?;
        let mut request = self.request(part, &sealed)?;
        let mut retry = Retry::new(site.policy);
        loop {
            let (sent, back) =
                send(site, self.fd, order, &lease, scratch, &request, &mut sealed).await;
            scratch = back;
            let error = match sent {
                Ok(sent) => {
                    // What is stored is of one piece, but no longer the file.
                    read::unchanged(self.fd, order)?;
                    site.gate.succeeded();
                    site.tally.moved(part.range.len());
                    return Ok(sent);
                }
                Err(error) => error,
            };
            // A store without conditions: it was asked for the object before.
            if request.only_new && error.kind() == ErrorKind::Unsupported {
                request.only_new = false;
                continue;
            }
            site.again(&order.key, &mut retry, false, error).await?;
        }
    }

    fn request(&self, part: Part, sealed: &seal::Sealed) -> Result<PutRequest> {
        let number = i32::try_from(part.number).map_err(|_| no_plan())?;
        let whole = self.upload.is_none();
        Ok(PutRequest {
            bucket: Arc::clone(&self.order.bucket),
            key: Arc::clone(&self.order.key),
            part: self.upload.map(|upload| (Arc::clone(upload), number)),
            body_bytes: part.range.len(),
            crc64nvme: Algorithm::Crc64Nvme.encode(sealed.digest.value()),
            content_type: whole.then(|| content_type(&self.order.key).to_owned()),
            only_new: whole && self.only_new,
        })
    }
}
