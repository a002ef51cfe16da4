//! One file on its shard: in one request, or its parts in lanes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::desk::may_be_done;
use crate::digest::{Algorithm, Combined};
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::flow::Retry;
use crate::job::IfExists;
use crate::part::{Cut, Part};
use crate::ring::Fd;
use crate::s3::{PartDone, Proof, PutRequest, Rung};
use crate::site::{Site, buffer};
use crate::upload::claim::claim;
use crate::upload::send::{Sent, send};
use crate::upload::{FileOrder, LANES_MAX, Uploads, content_type, plan, read, seal};

/// All parts of a file, acknowledged.
#[derive(Debug)]
pub struct PartsDone {
    /// In order of their numbers.
    pub parts: Vec<PartDone>,
    /// CRC64NVME of the whole, base64.
    pub crc64nvme: String,
    /// The checksum that the store confirmed for every part.
    pub confirmed: Option<&'static str>,
}

impl Uploads {
    /// One request; the checksum that the store confirmed.
    pub(super) async fn whole(&self, order: &FileOrder) -> Result<Option<&'static str>> {
        let fd = read::open(&self.site.ring, &self.door, order).await?;
        let cut = Cut::new(order.stamp.bytes, order.stamp.bytes.max(1), 1);
        let rung = self.site.store.checks().rung();
        let lanes = Lanes {
            site: &self.site,
            order,
            fd: &fd,
            upload: None,
            rung,
            only_new: self.if_exists != IfExists::Overwrite,
        };
        let Some(part) = cut.part(1) else { return Err(no_plan()) };
        Ok(lanes.part(part).await?.confirmed)
    }

    /// All parts of a multipart upload.
    ///
    /// # Errors
    /// The first failure; the other lanes are then ended. One in the class
    /// `Checksum` asks for another upload, whose parts are checked otherwise.
    pub async fn parts(
        &self,
        order: &FileOrder,
        upload: &Arc<str>,
        rung: Rung,
    ) -> Result<PartsDone> {
        let fd = read::open(&self.site.ring, &self.door, order).await?;
        let cut = plan::cut(order.stamp.bytes);
        let done = Rc::new(Done::new(order.stamp.bytes));
        let running: Vec<_> = (0..cut.parts().min(LANES_MAX))
            .map(|_| {
                let (site, order, fd) = (self.site.clone(), order.clone(), Rc::clone(&fd));
                let (upload, done) = (Arc::clone(upload), Rc::clone(&done));
                self.site.ring.spawn(async move {
                    let lanes = Lanes {
                        site: &site,
                        order: &order,
                        fd: &fd,
                        upload: Some(&upload),
                        rung,
                        only_new: false,
                    };
                    lanes.lane(cut, &done).await
                })
            })
            .collect();
        let mut ended = Ok(());
        for lane in running {
            ended = lane.await;
            if ended.is_err() {
                break;
            }
        }
        if ended.as_ref().is_err_and(|error| error.class() == RetryClass::Checksum) {
            self.site.tally.undone(done.combined.borrow().covered());
        }
        ended?;
        read::unchanged(&fd, order)?;
        done.collect()
    }
}

/// What the lanes of one file fill.
struct Done {
    next: Cell<u32>,
    failed: Cell<bool>,
    confirmed: Cell<Option<Option<&'static str>>>,
    parts: RefCell<Vec<PartDone>>,
    combined: RefCell<Combined>,
}

impl Done {
    fn new(bytes: u64) -> Self {
        Self {
            next: Cell::new(1),
            failed: Cell::new(false),
            confirmed: Cell::new(None),
            parts: RefCell::default(),
            combined: RefCell::new(Combined::new(Algorithm::Crc64Nvme, bytes)),
        }
    }

    fn add(&self, part: Part, sent: &Sent, rung: Rung) -> Result<()> {
        let Some(etag) = sent.etag.clone() else {
            let sentence = "the store acknowledged a part without an entity tag";
            return Err(Error::new(ErrorKind::Protocol, sentence));
        };
        self.combined.borrow_mut().add(sent.range, sent.digest.crc());
        let before = self.confirmed.get().unwrap_or(sent.confirmed);
        self.confirmed.set(Some(before.filter(|name| sent.confirmed == Some(name))));
        let number = i32::try_from(part.number).map_err(|_| no_plan())?;
        let crc64nvme = rung.is_crc().then(|| Algorithm::Crc64Nvme.encode(sent.digest.value()));
        self.parts.borrow_mut().push(PartDone { number, etag, crc64nvme });
        Ok(())
    }

    fn collect(&self) -> Result<PartsDone> {
        let mut parts = self.parts.take();
        parts.sort_unstable_by_key(|part| part.number);
        let value = self.combined.borrow().value().ok_or_else(no_plan)?;
        let crc64nvme = Algorithm::Crc64Nvme.encode(value);
        Ok(PartsDone { parts, crc64nvme, confirmed: self.confirmed.get().flatten() })
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
    rung: Rung,
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
                Ok(sent) => done.add(part, &sent, self.rung),
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
        let mut rung = self.first();
        let mut sealed = seal::seal(site, self.fd, order, &lease, part.range, rung).await?;
        read::unchanged(self.fd, order)?;
        let mut conditional = self.only_new;
        // Whether an answer may have been lost that acknowledged the object.
        let mut lost = false;
        let mut retry = Retry::new(site.policy);
        loop {
            // An acknowledged object that is no good is ours to replace.
            let only_new = conditional && !sealed.stored;
            let request = PutRequest { only_new, ..self.request(part, sealed.proof(rung)?)? };
            let (sent, back) =
                send(site, self.fd, order, &lease, scratch, &request, &mut sealed).await;
            scratch = back.map_or_else(|| buffer(&lease), Ok)?;
            let error = match sent {
                Ok(sent) => {
                    // What is stored is of one piece, but no longer the file.
                    read::unchanged(self.fd, order)?;
                    site.gate.succeeded();
                    site.tally.moved(part.range.len());
                    self.learned(rung, &sent);
                    return Ok(sent);
                }
                Err(error) => error,
            };
            let below = match error.class() {
                RetryClass::Checksum => self.below(rung, error),
                _ => Err(error),
            };
            let error = match below {
                Ok(next) => {
                    rung = next;
                    sealed = seal::reseal(site, self.fd, order, &lease, sealed, rung).await?;
                    continue;
                }
                Err(error) => error,
            };
            // A store without conditions: it was asked for the object before.
            // What it said of the checksums may have been about the condition.
            if conditional && error.kind() == ErrorKind::Unsupported {
                conditional = false;
                rung = self.first();
                sealed = seal::reseal(site, self.fd, order, &lease, sealed, rung).await?;
                continue;
            }
            if lost && self.upload.is_none() && error.kind() == ErrorKind::Exists {
                let ours = claim(site, order, &lease, scratch, &mut sealed).await.ok_or(error)?;
                site.tally.moved(part.range.len());
                return Ok(ours);
            }
            lost |= may_be_done(&error);
            site.again(&order.key, &mut retry, false, error).await?;
        }
    }

    /// The rung to begin with: what other parts have learned since counts,
    /// as far as it fits the upload that this part is of.
    fn first(&self) -> Rung {
        let learned = self.rung.max(self.site.store.checks().rung());
        if self.fits(learned) { learned } else { self.rung }
    }

    /// Whether a part that is checked by `rung` can be one of this upload.
    fn fits(&self, rung: Rung) -> bool {
        self.upload.is_none() || rung == self.rung || rung.is_crc() && self.rung.is_crc()
    }

    /// What to try after `refused`.
    fn below(&self, refused: Rung, error: Error) -> Result<Rung> {
        if self.upload.is_some() && refused >= Rung::Header {
            return Err(error);
        }
        let next = self.site.store.checks().below(refused, error)?;
        Ok(if self.fits(next) { next } else { Rung::Header })
    }

    fn learned(&self, rung: Rung, sent: &Sent) {
        let (checks, tally) = (self.site.store.checks(), &self.site.tally);
        if checks.settle(rung) {
            tally.note(format!(
                "the store does not take a better checksum: what is sent to it is checked by \
                 {rung}"
            ));
        }
        if rung == Rung::None && sent.confirmed.is_none() {
            tally.unchecked(
                "the store is not asked to check what it is sent: bytes that are damaged on \
                 their way would go unnoticed",
            );
        }
    }

    fn request(&self, part: Part, proof: Proof) -> Result<PutRequest> {
        let number = i32::try_from(part.number).map_err(|_| no_plan())?;
        let whole = self.upload.is_none();
        Ok(PutRequest {
            bucket: Arc::clone(&self.order.bucket),
            key: Arc::clone(&self.order.key),
            part: self.upload.map(|upload| (Arc::clone(upload), number)),
            body_bytes: part.range.len(),
            proof,
            content_type: whole.then(|| content_type(&self.order.key).to_owned()),
            only_new: self.only_new,
        })
    }
}
