//! [`Fetched`] → [`Verified`], and the proof of the whole.

use std::cell::Cell;

use crate::digest::{
    Checked, Combined, Declared, Expected, Method, Running, Sum, Unverifiable, Value,
};
use crate::download::fetch::Fetched;
use crate::error::{Error, ErrorKind, Result};
use crate::mem::Slice;
use crate::range::Range;

/// Bytes that were digested and accounted for at their place. Made by
/// [`PartCheck::verify`] only.
#[derive(Debug)]
pub struct Verified {
    slices: Vec<Slice>,
    offset: u64,
    bytes: u64,
}

impl Verified {
    /// Offset in the object, length, and the bytes.
    pub(super) fn into_parts(self) -> (u64, u64, Vec<Slice>) {
        (self.offset, self.bytes, self.slices)
    }
}

/// One part's check: bytes pass in order, without gap or overlap.
#[derive(Debug)]
pub struct PartCheck {
    range: Range,
    at: u64,
    running: Option<Running>,
}

impl PartCheck {
    /// Nothing of `range` seen yet; what the object is expected to be may be
    /// learned with the first answer.
    pub fn new(range: Range, expected: Option<Expected>) -> Self {
        Self { range, at: range.start, running: expected.and_then(Running::towards) }
    }

    /// The first byte that is still missing.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Takes the bytes into account.
    ///
    /// # Errors
    /// `Internal` for bytes from elsewhere.
    pub fn verify(&mut self, fetched: Fetched) -> Result<Verified> {
        let Fetched { slices, offset, bytes } = fetched;
        let end = offset.checked_add(bytes).filter(|end| *end <= self.range.end);
        let Some(end) = end.filter(|_| offset == self.at) else {
            return Err(Error::new(ErrorKind::Internal, "bytes of another place than was due"));
        };
        if let Some(running) = &mut self.running {
            #[cfg(feature = "mutants")]
            let slices = match crate::sim::plants(crate::sim::Mutant::SliceSkipped) {
                true => slices.get(1..).unwrap_or_default(),
                false => &slices[..],
            };
            for slice in slices.iter() {
                running.update(&slice.buffer[slice.start..slice.end]);
            }
        }
        self.at = end;
        Ok(Verified { slices, offset, bytes })
    }

    /// The part, complete; compared with what is `declared` of it alone.
    ///
    /// # Errors
    /// `Corrupt` when it differs, `Internal` while bytes are missing.
    pub fn finish(self, declared: Option<(Method, Value)>) -> Result<PartProof> {
        if self.at != self.range.end {
            return Err(Error::new(ErrorKind::Internal, "a part ended before its last byte"));
        }
        let sum = self.running.map(Running::finish);
        match (declared, &sum) {
            (None, _) => {}
            (Some((_, declared)), Some(Sum::Ordered(found))) if *found == [declared] => {}
            (Some((method, declared)), Some(Sum::Ordered(found))) => {
                let found: Vec<_> = found.iter().map(|value| value.shown(method)).collect();
                return Err(damaged(method.name(), &found.join(" "), &declared.shown(method)));
            }
            (Some(_), _) => {
                return Err(Error::new(ErrorKind::Internal, "a part was digested in another way"));
            }
        }
        Ok(PartProof { range: self.range, sum })
    }
}

/// Every byte of a part passed its check.
#[derive(Debug)]
pub struct PartProof {
    range: Range,
    sum: Option<Sum>,
}

impl PartProof {
    /// What the journal says of a part that an earlier run has checked.
    pub(super) fn kept(range: Range, sum: Option<Sum>) -> Self {
        Self { range, sum }
    }

    /// The part's digest.
    pub(super) fn sum(&self) -> Option<&Sum> {
        self.sum.as_ref()
    }
}

/// The whole object's check: parts arrive in any order.
#[derive(Debug)]
pub struct ObjectCheck {
    bytes: u64,
    covered: u64,
    against: Against,
}

/// What the parts are put together to.
#[derive(Debug)]
enum Against {
    Crc(Declared, Combined),
    /// The values of parts; those of S3 are 10,000 at most.
    Ordered {
        expected: Expected,
        part_bytes: u64,
        values: Vec<Option<Value>>,
    },
    Nothing(Unverifiable),
}

impl ObjectCheck {
    /// An object of `bytes` bytes that is expected to be these.
    pub fn new(bytes: u64, expected: Expected) -> Self {
        let against = match expected {
            Expected::Crc(declared) => {
                Against::Crc(declared, Combined::new(declared.algorithm, bytes))
            }
            Expected::Whole(..) => Against::ordered(expected, bytes, bytes.max(1)),
            Expected::OfParts { part_bytes, .. } => {
                Against::ordered(expected, bytes, part_bytes.max(1))
            }
            Expected::Nothing(why) => Against::Nothing(why),
        };
        Self { bytes, covered: 0, against }
    }

    /// Bytes of the parts so far.
    pub fn covered(&self) -> u64 {
        self.covered
    }

    /// A part is complete.
    pub fn add(&mut self, part: &PartProof) {
        self.covered += part.range.len();
        match (&mut self.against, &part.sum) {
            (Against::Crc(_, combined), Some(Sum::Crc(crc))) => {
                combined.add(part.range, *crc);
            }
            (Against::Ordered { part_bytes, values, .. }, Some(Sum::Ordered(found))) => {
                let first = usize::try_from(part.range.start / *part_bytes).unwrap_or(usize::MAX);
                for (place, value) in values.iter_mut().skip(first).zip(found) {
                    *place = Some(*value);
                }
            }
            _ => {}
        }
    }

    /// Compares with what the store declares. `seen` keeps a value that differed:
    /// bytes that come twice with the same one are what the store has, and an
    /// entity tag is no MD5 then, or a part size that was inferred is another one.
    ///
    /// # Errors
    /// `Corrupt` when it differs, `Internal` while bytes are missing.
    pub fn prove(self, seen: &Cell<Option<Value>>) -> Result<Proof> {
        if self.covered != self.bytes {
            return Err(Error::new(ErrorKind::Internal, "an object ended before its last byte"));
        }
        let checked = match self.against {
            Against::Nothing(why) => Checked::Not(why),
            Against::Crc(declared, combined) => crc(declared, &combined)?,
            Against::Ordered { expected, values, .. } => ordered(expected, &values, seen)?,
        };
        Ok(Proof { checked })
    }
}

impl Against {
    fn ordered(expected: Expected, bytes: u64, part_bytes: u64) -> Self {
        let parts = usize::try_from(bytes.div_ceil(part_bytes).max(1)).unwrap_or(usize::MAX);
        Self::Ordered { expected, part_bytes, values: vec![None; parts] }
    }
}

fn crc(declared: Declared, combined: &Combined) -> Result<Checked> {
    let algorithm = declared.algorithm;
    if combined.value() == Some(declared.value) {
        return Ok(Checked::By(Method::Crc(algorithm)));
    }
    let came = combined.value().map_or_else(|| "nothing".into(), |v| algorithm.encode(v));
    Err(damaged(algorithm.name(), &came, &algorithm.encode(declared.value)))
}

fn ordered(
    expected: Expected,
    values: &[Option<Value>],
    seen: &Cell<Option<Value>>,
) -> Result<Checked> {
    let undigested = || Error::new(ErrorKind::Internal, "a part was not digested");
    if values.iter().any(Option::is_none) {
        return Err(undigested());
    }
    let values = values.iter().flatten();
    let (method, declared, found) = match expected {
        Expected::Whole(method, declared) => (method, declared, values.copied().next()),
        Expected::OfParts { method, value, .. } => (method, value, Some(method.of_parts(values))),
        Expected::Crc(_) | Expected::Nothing(_) => return Err(undigested()),
    };
    let found = found.ok_or_else(undigested)?;
    if found == declared {
        return Ok(Checked::By(method));
    }
    if let Some(doubt) = expected.doubt().filter(|_| seen.get() == Some(found)) {
        return Ok(Checked::Not(doubt));
    }
    seen.set(Some(found));
    Err(damaged(method.name(), &found.shown(method), &declared.shown(method)))
}

fn damaged(name: &str, came: &str, declared: &str) -> Error {
    let sentence = format!(
        "the bytes that came have the {name} {came}, the store declares {declared}; they were \
         damaged on their way or in the store: transfer the object again"
    );
    Error::new(ErrorKind::Corrupt, sentence)
}

/// The object is complete and matches whatever its store declares. Made by
/// [`ObjectCheck::prove`] only; without it nothing is published.
#[derive(Debug)]
pub struct Proof {
    checked: Checked,
}

impl Proof {
    /// What a planted mistake publishes with.
    #[cfg(feature = "mutants")]
    pub(super) fn missing() -> Self {
        Self { checked: Checked::Not(Unverifiable::NoChecksum) }
    }

    /// What it was compared with.
    pub fn checked(&self) -> Checked {
        self.checked
    }
}
