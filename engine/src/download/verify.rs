//! [`Fetched`] → [`Verified`], and the proof of the whole.

use crate::digest::{Algorithm, Combined, Declared, Digest};
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
    digest: Option<Digest>,
}

impl PartCheck {
    /// Nothing of `range` seen yet.
    pub fn new(range: Range, algorithm: Option<Algorithm>) -> Self {
        Self { range, at: range.start, digest: algorithm.map(Digest::new) }
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
        if let Some(digest) = &mut self.digest {
            for slice in &slices {
                digest.update(&slice.buffer[slice.start..slice.end]);
            }
        }
        self.at = end;
        Ok(Verified { slices, offset, bytes })
    }

    /// The part, complete.
    ///
    /// # Errors
    /// `Internal` while bytes are missing.
    pub fn finish(self) -> Result<PartProof> {
        if self.at == self.range.end {
            Ok(PartProof { range: self.range, digest: self.digest })
        } else {
            Err(Error::new(ErrorKind::Internal, "a part ended before its last byte"))
        }
    }
}

/// Every byte of a part passed its check.
#[derive(Debug)]
pub struct PartProof {
    range: Range,
    digest: Option<Digest>,
}

/// The whole object's check: parts arrive in any order.
#[derive(Debug)]
pub struct ObjectCheck {
    bytes: u64,
    covered: u64,
    declared: Option<(Declared, Combined)>,
}

impl ObjectCheck {
    /// An object of `bytes` bytes with this checksum, if any.
    pub fn new(bytes: u64, declared: Option<Declared>) -> Self {
        let declared =
            declared.map(|declared| (declared, Combined::new(declared.algorithm, bytes)));
        Self { bytes, covered: 0, declared }
    }

    /// A part is complete.
    pub fn add(&mut self, part: &PartProof) {
        self.covered += part.range.len();
        if let (Some((_, combined)), Some(digest)) = (&mut self.declared, &part.digest) {
            combined.add(part.range, digest);
        }
    }

    /// Compares with what the store declares.
    ///
    /// # Errors
    /// `Corrupt` when it differs, `Internal` while bytes are missing.
    pub fn prove(self) -> Result<Proof> {
        if self.covered != self.bytes {
            return Err(Error::new(ErrorKind::Internal, "an object ended before its last byte"));
        }
        let Some((declared, combined)) = self.declared else {
            return Ok(Proof { algorithm: None });
        };
        let algorithm = declared.algorithm;
        if combined.value() == Some(declared.value) {
            return Ok(Proof { algorithm: Some(algorithm) });
        }
        let came = combined.value().map_or_else(|| "nothing".into(), |v| algorithm.encode(v));
        Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "the bytes that came have the {} {came}, the store declares {}; they were \
                 damaged on their way or in the store: transfer the object again",
                algorithm.name(),
                algorithm.encode(declared.value)
            ),
        ))
    }
}

/// The object is complete and matches whatever its store declares. Made by
/// [`ObjectCheck::prove`] only; without it nothing is published.
#[derive(Debug)]
pub struct Proof {
    algorithm: Option<Algorithm>,
}

impl Proof {
    /// The checksum that matched; `None` where the store declares none that
    /// can be compared.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }
}
