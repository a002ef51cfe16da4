//! The file that an object lands in, and what an earlier run left there.
//!
//! An object of several parts lands under a name that the same job finds again.
//! Dropped before it is published, its file stays if the journal knows a part of
//! it; all other files go.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

use crate::digest::{Expected, KeptSum, Running, Sum, kind};
use crate::disk::journal::{CutOf, Journal, Name, PartLog, Standing};
use crate::disk::{PartialFile, PartialNames, Tree};
use crate::download::verify::{ObjectCheck, PartProof, Proof};
use crate::download::{Landed, publish};
use crate::error::Result;
use crate::job::IfExists;
use crate::part::{Cut, Part};
use crate::ring::{Fd, Ring};

/// Doubted parts of one object that are looked at; further ones are fetched.
const DOUBTED_MAX: usize = 16_384;
/// Read at once by the worker that looks at a doubted part.
const READ_BYTES: usize = 64 << 10;

pub(super) struct Landing {
    /// Until it is published.
    file: Option<PartialFile>,
    fd: Fd,
    record: Option<Rc<PartRecord>>,
}

/// What the journal learns of an object's parts.
pub(super) struct PartRecord {
    journal: Arc<Journal>,
    log: PartLog,
}

/// What an earlier run left.
#[derive(Default)]
pub(super) struct Held {
    /// A bit a part.
    sure: Vec<u64>,
    /// Written before a power loss, perhaps.
    doubted: RefCell<HashMap<u32, KeptSum>>,
}

impl Landing {
    /// A file that nobody will find again.
    pub(super) async fn fresh(ring: &Ring, names: &PartialNames, bytes: u64) -> Result<Self> {
        Ok(Self::of(PartialFile::create(ring, names, bytes).await?, None))
    }

    fn of(file: PartialFile, record: Option<Rc<PartRecord>>) -> Self {
        Self { fd: Rc::clone(file.fd()), file: Some(file), record }
    }

    /// The file of the object `name`, cut by `cut` and expected to be that, with
    /// what is known to be in it; `check` takes these parts into account.
    pub(super) async fn resumable(
        ring: &Ring,
        names: &PartialNames,
        (journal, name): (&Arc<Journal>, Name),
        (cut, expected): (Cut, Expected),
        check: &mut ObjectCheck,
    ) -> Result<(Self, Held)> {
        let cut_of =
            CutOf { name, bytes: cut.bytes(), part_bytes: cut.part_bytes(), sums: kind(expected) };
        let folder = names.folder();
        let Ok((file_name, log)) = journal.parts(folder, &name) else {
            return Ok((Self::fresh(ring, names, cut.bytes()).await?, Held::default()));
        };
        let record = Rc::new(PartRecord { journal: Arc::clone(journal), log });
        if let Some(file) = PartialFile::reopen(folder, file_name.clone(), cut.bytes()) {
            let held = record.held(&cut_of, (cut, expected), check);
            if held.any() {
                return Ok((Self::of(file, Some(record)), held));
            }
        }
        // Forgotten first: no record may speak of the bytes of another file.
        let record = record.log.begin(&cut_of).is_ok().then_some(record);
        let file = PartialFile::replace(ring, folder, file_name, cut.bytes()).await?;
        Ok((Self::of(file, record), Held::default()))
    }

    pub(super) fn fd(&self) -> &Fd {
        &self.fd
    }

    pub(super) fn record(&self) -> Option<Rc<PartRecord>> {
        self.record.clone()
    }

    /// Its bytes are of no use to another run.
    pub(super) fn spoil(&mut self) {
        if let Some(record) = self.record.take() {
            record.log.remove();
        }
    }

    /// Makes it visible as the object of `path`.
    ///
    /// # Errors
    /// As [`publish::publish`]; parts that were recorded stay.
    pub(super) async fn publish(
        mut self,
        (ring, tree): (&Ring, &Tree),
        path: &str,
        proof: &Proof,
        if_exists: IfExists,
    ) -> Result<Landed> {
        let Some(mut file) = self.file.take() else { return Ok(Landed::Skipped) };
        if let Some(record) = self.worth_keeping() {
            record.log.keep();
            file.keep();
        }
        let landed = publish::publish(ring, tree, file, path, proof, if_exists).await?;
        self.spoil();
        Ok(landed)
    }

    fn worth_keeping(&self) -> Option<&PartRecord> {
        self.record.as_deref().filter(|record| record.log.is_worth_keeping())
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let Some(mut file) = self.file.take() else { return };
        match self.worth_keeping() {
            Some(record) => {
                record.log.keep();
                file.keep();
            }
            None => self.spoil(),
        }
    }
}

impl PartRecord {
    fn held(
        &self,
        cut_of: &CutOf,
        (cut, expected): (Cut, Expected),
        check: &mut ObjectCheck,
    ) -> Held {
        let mut held = Held { sure: vec![0; cut.parts().div_ceil(64) as usize], ..Held::default() };
        let each = self.log.each(&self.journal, cut_of, |part| {
            let Some(place) = cut.part(part.number).filter(|_| !held.is_sure(part.number)) else {
                return;
            };
            match part.standing {
                Standing::Sure => {
                    held.is_now_sure(part.number);
                    check.add(&proof(place, expected, &part.sum));
                }
                Standing::Doubted => held.doubt(part.number, part.sum),
            }
            self.log.kept();
        });
        // What was read before it failed is as true as ever.
        drop(each);
        held
    }

    /// A part's bytes are in the file.
    pub(super) fn part(&self, number: u32, proof: &PartProof) {
        if let Some(sum) = Sum::kept(proof.sum()) {
            self.log.record(&self.journal, number, sum);
        }
    }
}

fn proof(part: Part, expected: Expected, sum: &KeptSum) -> PartProof {
    PartProof::kept(part.range, Sum::restored(expected, part.range.len(), sum))
}

impl Held {
    fn any(&self) -> bool {
        self.sure.iter().any(|bits| *bits != 0) || !self.doubted.borrow().is_empty()
    }

    /// Whether the part needs no look.
    pub(super) fn is_sure(&self, number: u32) -> bool {
        let index = number.saturating_sub(1);
        self.sure.get((index / 64) as usize).is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }

    fn is_now_sure(&mut self, number: u32) {
        let index = number.saturating_sub(1);
        if let Some(bits) = self.sure.get_mut((index / 64) as usize) {
            *bits |= 1 << (index % 64);
        }
        self.doubted.borrow_mut().remove(&number);
    }

    fn doubt(&self, number: u32, sum: KeptSum) {
        let mut doubted = self.doubted.borrow_mut();
        if doubted.len() < DOUBTED_MAX {
            doubted.insert(number, sum);
        }
    }

    /// The part that `file` holds, if it is doubted and its bytes are those that
    /// were recorded. Where nothing was digested there is nothing to compare.
    pub(super) async fn look(
        &self,
        ring: &Ring,
        file: &Fd,
        part: Part,
        expected: Expected,
    ) -> Option<PartProof> {
        let kept = self.doubted.borrow_mut().remove(&part.number)?;
        let file = File::from(file.try_clone().ok()?);
        let found = ring.on_worker(move || digest(&file, part, expected)).await.ok()??;
        (Sum::kept(Some(&found)) == Some(kept)).then(|| proof(part, expected, &kept))
    }
}

fn digest(file: &File, part: Part, expected: Expected) -> io::Result<Option<Sum>> {
    let Some(mut running) = Running::towards(expected) else { return Ok(None) };
    let mut buffer = vec![0; READ_BYTES];
    let (mut at, end) = (part.range.start, part.range.end);
    while at < end {
        let due = usize::try_from(end - at).unwrap_or(READ_BYTES).min(READ_BYTES);
        let count = file.read_at(&mut buffer[..due], at)?;
        if count == 0 {
            return Ok(None);
        }
        running.update(&buffer[..count]);
        at += count as u64;
    }
    Ok(Some(running.finish()))
}
