//! One object on its shard: its parts in lanes, its attempts, its end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::digest::{Checked, Expected, Method, Unverifiable, Value};
use crate::disk::look_at;
use crate::download::fetch::Fetch;
use crate::download::landing::{Held, PartRecord};
use crate::download::verify::{ObjectCheck, PartCheck, PartProof, Proof};
use crate::download::{Downloads, LANES_MAX, Landed, plan, publish, renew, resume, write};
use crate::error::{Error, ErrorKind, Result, RetryClass};
use crate::flow::Retry;
use crate::job::{IfExists, OnChange};
use crate::mem::Lease;
use crate::object::Object;
use crate::part::{Cut, Part};
use crate::range::Range;
use crate::ring::Fd;
use crate::s3::{GetHead, GetRequest};
use crate::site::Site;

/// How often an object that changes is begun anew.
const RESTARTS_MAX: u32 = 3;

impl Downloads {
    /// Fetches the object into a partial file and publishes it; an object that
    /// does not match its checksum is fetched once more.
    pub(super) async fn object(&self, object: &Object) -> Result<Landed> {
        // Before any byte moves: a name in the way is known now.
        let folder = self.tree.folder(publish::parent(&object.path)).await?;
        if self.is_done(&folder, object).await? {
            self.site.tally.resumed(object.bytes);
            return Ok(Landed::Skipped);
        }
        if self.resume && resume::holds(&self.site.ring, &folder, object).await? {
            return Ok(Landed::Skipped);
        }
        if self.if_exists != IfExists::Overwrite && publish::is_there(&folder, &object.path)? {
            return publish::stays(self.if_exists, &object.path);
        }
        drop(folder);
        let mut object = object.clone();
        let mut restarts = 0;
        loop {
            let error = match self.tries(&object).await {
                Ok(landed) => return Ok(landed),
                Err(error) => error,
            };
            let changed = error.class() == RetryClass::Changed;
            if !changed || self.on_change != OnChange::Restart || restarts == RESTARTS_MAX {
                return Err(error);
            }
            restarts += 1;
            let renewed = renew::renew(&self.site, &object).await?;
            self.site.tally.replanned(object.bytes, renewed.bytes);
            self.site.tally.note(format!("{} changed, and is downloaded anew", object.key));
            object = renewed;
        }
    }

    /// One version of the object, once more where its bytes came damaged.
    async fn tries(&self, object: &Object) -> Result<Landed> {
        let mut retry = Retry::new(self.site.policy);
        let seen = Cell::new(None);
        loop {
            let moved = Rc::new(Cell::new(0));
            let error = match self.attempt(object, &moved, &seen).await {
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

    async fn attempt(
        &self,
        object: &Object,
        moved: &Rc<Cell<u64>>,
        seen: &Cell<Option<Value>>,
    ) -> Result<Landed> {
        let is_small = plan::cut(object.bytes).parts() == 1;
        let expected = if is_small { None } else { Some(self.expected(object)) };
        if let Some(Expected::Nothing(why)) = expected {
            self.accepts(Checked::Not(why))?;
        }
        let cut = expected
            .map_or_else(|| plan::cut(object.bytes), |e| plan::cut_towards(object.bytes, e));
        let what = expected.unwrap_or(Expected::Nothing(Unverifiable::NoChecksum));
        let mut check = ObjectCheck::new(object.bytes, what);
        let (mut landing, held) = self.land(object, (cut, what), &mut check).await?;
        let parts = Rc::new(Parts {
            site: self.site.clone(),
            object: object.clone(),
            file: Rc::clone(landing.fd()),
            cut,
            held,
            record: landing.record(),
            tags_lie: self.tags_lie.get(),
            moved: Rc::clone(moved),
        });
        parts.resumed(check.covered());
        let fetched = match expected {
            None => parts.single().await,
            Some(expected) => Parts::many(&parts, expected, check).await,
        };
        let proven = fetched.and_then(|check| self.prove(check, seen));
        #[cfg(feature = "mutants")]
        let proven = match proven {
            Err(error) if crate::sim::plants(crate::sim::Mutant::PublishFirst) => {
                let to = (&self.site.ring, &self.tree);
                landing.publish(to, &object.path, &Proof::missing(), self.if_exists).await?;
                return Err(error);
            }
            proven => proven,
        };
        let proof = proven.inspect_err(|error| {
            if !error.class().leaves_bytes_good() {
                landing.spoil();
            }
        })?;
        if let Some((journal, name)) = self.recorded(object) {
            journal.done(name, look_at(landing.fd())?);
        }
        let to = (&self.site.ring, &self.tree);
        landing.publish(to, &object.path, &proof, self.if_exists).await
    }

    fn prove(&self, check: ObjectCheck, seen: &Cell<Option<Value>>) -> Result<Proof> {
        let proof = check.prove(seen)?;
        self.accepts(proof.checked())?;
        if proof.checked() == Checked::Not(Unverifiable::EntityTag) {
            self.tags_lie.set(true);
        }
        Ok(proof)
    }

    /// What a large object is expected to be; its checksums are known before any
    /// byte moves. A SHA-256 or MD5 of all bytes is computed on one connection,
    /// which is slow: only where it is required.
    fn expected(&self, object: &Object) -> Expected {
        let told = object.expected();
        if told.is_in_order(object.bytes) && !self.require_verified {
            return Expected::Nothing(Unverifiable::InRanges);
        }
        told.believing(!self.tags_lie.get())
    }

    fn accepts(&self, checked: Checked) -> Result<()> {
        if self.require_verified {
            checked.required()?;
        }
        Ok(())
    }
}

/// What the lanes of one attempt share.
struct Parts {
    site: Site,
    object: Object,
    file: Fd,
    cut: Cut,
    /// Parts that are there already.
    held: Held,
    /// Where parts are recorded.
    record: Option<Rc<PartRecord>>,
    tags_lie: bool,
    moved: Rc<Cell<u64>>,
}

impl Parts {
    /// One GET without a range, which brings the declared checksums along.
    async fn single(&self) -> Result<ObjectCheck> {
        let Some(part) = self.cut.part(1) else { return Err(no_such_part(1)) };
        let mut expected = None;
        let proof = self.part(part, &mut expected).await?;
        let expected = expected.unwrap_or(Expected::Nothing(Unverifiable::NoChecksum));
        let mut check = ObjectCheck::new(self.object.bytes, expected);
        check.add(&proof);
        Ok(check)
    }

    /// Ranges, some lanes at a time; the first failure ends all lanes.
    async fn many(parts: &Rc<Self>, expected: Expected, check: ObjectCheck) -> Result<ObjectCheck> {
        let check = Rc::new(RefCell::new(check));
        let next = Rc::new(Cell::new(1));
        let failed = Rc::new(Cell::new(false));
        let lanes: Vec<_> = (0..parts.cut.parts().min(LANES_MAX))
            .map(|_| {
                let (parts, check) = (Rc::clone(parts), Rc::clone(&check));
                let (next, failed) = (Rc::clone(&next), Rc::clone(&failed));
                parts.site.ring.clone().spawn(async move {
                    let ended = parts.lane(expected, &check, &next, &failed).await;
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
        Ok(check.into_inner())
    }

    async fn lane(
        &self,
        expected: Expected,
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
            if self.held.is_sure(number) {
                continue;
            }
            let ring = &self.site.ring;
            let proof = match self.held.look(ring, &self.file, part, expected).await {
                Some(proof) => {
                    self.resumed(part.range.len());
                    proof
                }
                None => self.part(part, &mut Some(expected)).await?,
            };
            if let Some(record) = &self.record {
                record.part(number, &proof);
            }
            check.borrow_mut().add(&proof);
        }
    }

    /// Bytes that an earlier run has written.
    fn resumed(&self, bytes: u64) {
        self.moved.set(self.moved.get() + bytes);
        self.site.tally.moved(bytes);
        self.site.tally.resumed(bytes);
    }

    /// One part through all of its attempts, each of which goes on at the byte
    /// that the last one reached.
    async fn part(&self, part: Part, expected: &mut Option<Expected>) -> Result<PartProof> {
        let _pass = self.site.gate.enter().await;
        let lease = self.site.lease(part.range.len()).await;
        let mut check = PartCheck::new(part.range, *expected);
        let mut retry = Retry::new(self.site.policy);
        loop {
            let from = check.at();
            let error = match self.pump(&lease, part.range, &mut check, expected).await {
                Ok(()) => match check.finish(self.declared(part)) {
                    Ok(proof) => {
                        self.site.gate.succeeded();
                        return Ok(proof);
                    }
                    Err(damaged) => {
                        check = PartCheck::new(part.range, *expected);
                        self.undone(part.range.len());
                        damaged
                    }
                },
                Err(error) => error,
            };
            let progressed = check.at() > from;
            if check.at() > 0 && self.object.etag.is_none() {
                let sentence = "the store names no entity tag, so a broken transfer of the \
                                object cannot go on where it stopped; run it again";
                return Err(Error::new(error.kind(), sentence).because(error));
            }
            // A part that came twice need not come again with its object.
            let again = self.site.again(&self.object.key, &mut retry, progressed, error).await;
            again.map_err(|error| match error.class() {
                RetryClass::Corrupt => error.in_class(RetryClass::Fatal),
                _ => error,
            })?;
        }
    }

    /// What the store declares of this part alone.
    fn declared(&self, part: Part) -> Option<(Method, Value)> {
        self.object.parts.as_ref()?.table.part(part.number)
    }

    fn undone(&self, bytes: u64) {
        self.moved.set(self.moved.get().saturating_sub(bytes));
        self.site.tally.undone(bytes);
    }

    /// One attempt: GET what is missing, verify and write it.
    async fn pump(
        &self,
        lease: &Lease,
        range: Range,
        check: &mut PartCheck,
        expected: &mut Option<Expected>,
    ) -> Result<()> {
        let from = check.at();
        let whole = from == 0 && range.end == self.object.bytes;
        let request = GetRequest {
            bucket: Arc::clone(&self.object.bucket),
            key: Arc::clone(&self.object.key),
            range: if whole { None } else { Range::new(from, range.end) },
            etag: self.object.etag.clone(),
        };
        #[cfg(feature = "mutants")]
        let request = match crate::sim::plants(crate::sim::Mutant::NoIfMatch) {
            true => GetRequest { etag: None, ..request },
            false => request,
        };
        if from == range.end && !whole {
            return Ok(());
        }
        let mut fetch =
            Fetch::open(&self.site, lease, request, (from, range.end), self.object.bytes).await?;
        if expected.is_none() {
            *expected = Some(self.told(fetch.head()));
            *check = PartCheck::new(range, *expected);
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

impl Parts {
    /// What the answer to a whole GET tells.
    fn told(&self, head: &GetHead) -> Expected {
        let etag = head.etag.as_deref().or(self.object.etag.as_deref());
        let encrypted = head.encrypted || self.object.encrypted;
        Expected::of(&head.checksums, etag, (self.object.bytes, encrypted))
            .believing(!self.tags_lie)
    }
}

fn no_such_part(number: u32) -> Error {
    Error::new(ErrorKind::Internal, format!("the plan has no part {number}"))
}
