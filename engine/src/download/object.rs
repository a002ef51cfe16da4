//! One object on its shard: its parts in lanes, its attempts, its end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::digest::Declared;
use crate::disk::PartialFile;
use crate::download::fetch::Fetch;
use crate::download::verify::{ObjectCheck, PartCheck, PartProof, Proof};
use crate::download::{Downloads, LANES_MAX, Landed, plan, publish, resume, write};
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::flow::Retry;
use crate::job::IfExists;
use crate::mem::Lease;
use crate::object::Object;
use crate::part::{Cut, Part};
use crate::range::Range;
use crate::ring::Fd;
use crate::s3::GetRequest;
use crate::site::Site;

impl Downloads {
    /// Fetches the object into a partial file and publishes it; an object that
    /// does not match its checksum is fetched once more.
    pub(super) async fn object(&self, object: &Object) -> Result<Landed> {
        // Before any byte moves: a name in the way is known now.
        let folder = self.tree.folder(publish::parent(&object.path)).await?;
        if self.resume && resume::holds(&self.site.ring, &folder, object).await? {
            return Ok(Landed::Skipped);
        }
        if self.if_exists != IfExists::Overwrite && publish::is_there(&folder, &object.path)? {
            return publish::stays(self.if_exists, &object.path);
        }
        drop(folder);
        let mut retry = Retry::new(self.site.policy);
        loop {
            let moved = Rc::new(Cell::new(0));
            let error = match self.attempt(object, &moved).await {
                // Somebody else's file came first: these bytes are not there.
                Ok(Landed::Skipped) => {
                    self.site.tally.undone(moved.get());
                    return Ok(Landed::Skipped);
                }
                Ok(landed) => return Ok(landed),
                Err(error) => error,
            };
            self.site.tally.undone(moved.get());
            if error.class() != RetryClass::Corrupt {
                return Err(error);
            }
            self.site.again(&object.key, &mut retry, false, error).await?;
        }
    }

    async fn attempt(&self, object: &Object, moved: &Rc<Cell<u64>>) -> Result<Landed> {
        let ring = &self.site.ring;
        let file = PartialFile::create(ring, &self.names, object.bytes).await?;
        let parts = Rc::new(Parts {
            site: self.site.clone(),
            object: object.clone(),
            file: Rc::clone(file.fd()),
            cut: plan::cut(object.bytes),
            moved: Rc::clone(moved),
        });
        let proof = if parts.cut.parts() == 1 {
            parts.single().await?
        } else {
            Parts::many(&parts).await?
        };
        publish::publish(ring, &self.tree, file, &object.path, &proof, self.if_exists).await
    }
}

/// What the lanes of one attempt share.
struct Parts {
    site: Site,
    object: Object,
    file: Fd,
    cut: Cut,
    moved: Rc<Cell<u64>>,
}

impl Parts {
    /// One GET without a range, which brings the declared checksums along.
    async fn single(&self) -> Result<Proof> {
        let Some(part) = self.cut.part(1) else { return Err(no_such_part(1)) };
        let mut declared = Declared::strongest(&self.object.checksums);
        let proof = self.part(part, &mut declared).await?;
        let mut check = ObjectCheck::new(self.object.bytes, declared);
        check.add(&proof);
        check.prove()
    }

    /// Ranges, some lanes at a time; the first failure ends all lanes.
    async fn many(parts: &Rc<Self>) -> Result<Proof> {
        let declared = Declared::strongest(&parts.object.checksums);
        let check = Rc::new(RefCell::new(ObjectCheck::new(parts.object.bytes, declared)));
        let next = Rc::new(Cell::new(1));
        let failed = Rc::new(Cell::new(false));
        let lanes: Vec<_> = (0..parts.cut.parts().min(LANES_MAX))
            .map(|_| {
                let (parts, check) = (Rc::clone(parts), Rc::clone(&check));
                let (next, failed) = (Rc::clone(&next), Rc::clone(&failed));
                parts.site.ring.clone().spawn(async move {
                    let ended = parts.lane(declared, &check, &next, &failed).await;
                    failed.set(failed.get() || ended.is_err());
                    ended
                })
            })
            .collect();
        // Dropping the tasks that are left cancels them.
        for lane in lanes {
            lane.await?;
        }
        let check = Rc::try_unwrap(check)
            .map_err(|_| Error::new(ErrorKind::Internal, "a lane outlived its object"))?;
        check.into_inner().prove()
    }

    async fn lane(
        &self,
        declared: Option<Declared>,
        check: &RefCell<ObjectCheck>,
        next: &Cell<u32>,
        failed: &Cell<bool>,
    ) -> Result<()> {
        loop {
            let number = next.get();
            let Some(part) = self.cut.part(number).filter(|_| !failed.get()) else {
                return Ok(());
            };
            next.set(number + 1);
            let proof = self.part(part, &mut { declared }).await?;
            check.borrow_mut().add(&proof);
        }
    }

    /// One part through all of its attempts, each of which goes on at the byte
    /// that the last one reached.
    async fn part(&self, part: Part, declared: &mut Option<Declared>) -> Result<PartProof> {
        let _pass = self.site.gate.enter().await;
        let lease = self.site.lease(part.range.len()).await;
        let mut check = PartCheck::new(part.range, declared.map(|declared| declared.algorithm));
        let mut retry = Retry::new(self.site.policy);
        loop {
            let from = check.at();
            let ended = self.pump(&lease, part.range, &mut check, declared).await;
            let Err(error) = ended else { break };
            let progressed = check.at() > from;
            if check.at() > 0 && self.object.etag.is_none() {
                let sentence = "the store names no entity tag, so a broken transfer of the \
                                object cannot go on where it stopped; run it again";
                return Err(Error::new(error.kind(), sentence).because(error));
            }
            self.site.again(&self.object.key, &mut retry, progressed, error).await?;
        }
        self.site.gate.succeeded();
        check.finish()
    }

    /// One attempt: GET what is missing, verify and write it.
    async fn pump(
        &self,
        lease: &Lease,
        range: Range,
        check: &mut PartCheck,
        declared: &mut Option<Declared>,
    ) -> Result<()> {
        let from = check.at();
        let whole = from == 0 && range.end == self.object.bytes;
        let request = GetRequest {
            bucket: Arc::clone(&self.object.bucket),
            key: Arc::clone(&self.object.key),
            range: if whole { None } else { Range::new(from, range.end) },
            etag: self.object.etag.clone(),
        };
        if from == range.end && !whole {
            return Ok(());
        }
        let mut fetch =
            Fetch::open(&self.site, lease, &request, (from, range.end), self.object.bytes).await?;
        if whole && declared.is_none() {
            *declared = Declared::strongest(&fetch.head().checksums);
            *check = PartCheck::new(range, declared.map(|declared| declared.algorithm));
        }
        while let Some(fetched) = fetch.next().await? {
            let verified = check.verify(fetched)?;
            let ring = &self.site.ring;
            let written = write::write(ring, &self.file, &self.object.path, verified).await?;
            self.moved.set(self.moved.get() + written.bytes);
            self.site.tally.moved(written.bytes);
        }
        fetch.finish();
        Ok(())
    }
}

fn no_such_part(number: u32) -> Error {
    Error::new(ErrorKind::Internal, format!("the plan has no part {number}"))
}
