//! Digests of what arrives, checksums of what is stored.
//!
//! Every body gets an MD5 (its ETag) and a CRC-64/NVME (stored, and joined over
//! parts without reading them again); the others only when a request names them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::{CrcAlgorithm, checksum_combine};
use md5::{Digest as _, Md5};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::Checksum as _;
use serde::{Deserialize, Serialize};

use super::error::{StoreError, StoreResult};

/// Checksums of one body, each as S3 writes it: base64 of the big-endian value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checksums {
    /// CRC-32 (ISO-HDLC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc32: Option<String>,
    /// CRC-32C (Castagnoli).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc32c: Option<String>,
    /// CRC-64/NVME.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc64nvme: Option<String>,
    /// SHA-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha1: Option<String>,
    /// SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What a request declares about its body.
#[derive(Clone, Debug, Default)]
pub(super) struct Declared {
    /// `Content-MD5`, base64.
    pub(super) md5: Option<String>,
    /// `x-amz-checksum-*`.
    pub(super) checksums: Checksums,
    /// Algorithms to compute because the value comes later, in a trailer.
    pub(super) announced: Vec<String>,
    /// `Content-Length`, decoded, in bytes.
    pub(super) length: Option<u64>,
}

/// The digests of a body that has been received.
#[derive(Clone, Debug)]
pub(super) struct Digests {
    pub(super) md5: [u8; 16],
    pub(super) checksums: Checksums,
    pub(super) bytes: u64,
}

/// Takes the digests while the body passes.
pub(super) struct Digester {
    md5: Md5,
    checksums: ChecksumHasher,
    bytes: u64,
}

impl Digester {
    pub(super) fn new(declared: &Declared) -> Self {
        let named = |name: &str| declared.announced.iter().any(|a| a.eq_ignore_ascii_case(name));
        let sums = &declared.checksums;
        let checksums = ChecksumHasher {
            crc32: (sums.crc32.is_some() || named("crc32")).then(s3s::crypto::Crc32::new),
            crc32c: (sums.crc32c.is_some() || named("crc32c")).then(s3s::crypto::Crc32c::new),
            sha1: (sums.sha1.is_some() || named("sha1")).then(s3s::crypto::Sha1::new),
            sha256: (sums.sha256.is_some() || named("sha256")).then(s3s::crypto::Sha256::new),
            crc64nvme: Some(s3s::crypto::Crc64Nvme::new()),
        };
        Self { md5: Md5::new(), checksums, bytes: 0 }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.checksums.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    pub(super) fn finish(self) -> Digests {
        let sums = self.checksums.finalize();
        let checksums = Checksums {
            crc32: sums.checksum_crc32,
            crc32c: sums.checksum_crc32c,
            crc64nvme: sums.checksum_crc64nvme,
            sha1: sums.checksum_sha1,
            sha256: sums.checksum_sha256,
        };
        Digests { md5: self.md5.finalize().into(), checksums, bytes: self.bytes }
    }
}

impl Digests {
    /// Compares with everything that the request declared.
    pub(super) fn check(&self, declared: &Declared) -> StoreResult<()> {
        if let Some(length) = declared.length
            && length != self.bytes
        {
            let reason = format!("declared {length} bytes, received {}", self.bytes);
            return Err(StoreError::IncompleteBody(reason));
        }
        if let Some(md5) = &declared.md5 {
            check_value("Content-MD5", 16, md5, Some(&BASE64.encode(self.md5)))?;
        }
        self.checksums.check(&declared.checksums)
    }
}

impl Checksums {
    /// Compares every checksum that `declared` names with ours.
    pub(super) fn check(&self, declared: &Self) -> StoreResult<()> {
        for (mine, theirs) in self.rows().into_iter().zip(declared.rows()) {
            if let Some(value) = theirs.value {
                check_value(theirs.name, theirs.bytes, value, mine.value)?;
            }
        }
        Ok(())
    }

    fn rows(&self) -> [Row<'_>; 5] {
        [
            Row { name: "CRC32", bytes: 4, value: self.crc32.as_deref() },
            Row { name: "CRC32C", bytes: 4, value: self.crc32c.as_deref() },
            Row { name: "CRC64NVME", bytes: 8, value: self.crc64nvme.as_deref() },
            Row { name: "SHA1", bytes: 20, value: self.sha1.as_deref() },
            Row { name: "SHA256", bytes: 32, value: self.sha256.as_deref() },
        ]
    }

    /// The checksums of `self` followed by `next` (of `next_bytes` bytes), for
    /// the CRCs that both have; a SHA cannot be joined and is dropped.
    pub(super) fn join(&self, next: &Self, next_bytes: u64) -> Self {
        let crc = |algorithm, a: &Option<String>, b: &Option<String>, width| {
            join_crc(algorithm, a.as_deref()?, b.as_deref()?, next_bytes, width)
        };
        Self {
            crc32: crc(CrcAlgorithm::Crc32IsoHdlc, &self.crc32, &next.crc32, 4),
            crc32c: crc(CrcAlgorithm::Crc32Iscsi, &self.crc32c, &next.crc32c, 4),
            crc64nvme: crc(CrcAlgorithm::Crc64Nvme, &self.crc64nvme, &next.crc64nvme, 8),
            sha1: None,
            sha256: None,
        }
    }
}

struct Row<'a> {
    name: &'static str,
    bytes: usize,
    value: Option<&'a str>,
}

fn check_value(
    algorithm: &'static str,
    bytes: usize,
    declared: &str,
    received: Option<&str>,
) -> StoreResult<()> {
    if BASE64.decode(declared).map_or(true, |raw| raw.len() != bytes) {
        return Err(StoreError::InvalidDigest(algorithm));
    }
    if received == Some(declared) {
        return Ok(());
    }
    Err(StoreError::BadDigest {
        algorithm,
        declared: declared.to_owned(),
        received: received.unwrap_or("nothing").to_owned(),
    })
}

fn join_crc(
    algorithm: CrcAlgorithm,
    a: &str,
    b: &str,
    b_bytes: u64,
    width: usize,
) -> Option<String> {
    let joined = checksum_combine(algorithm, crc_value(a)?, crc_value(b)?, b_bytes);
    Some(BASE64.encode(&joined.to_be_bytes()[8 - width..]))
}

fn crc_value(base64: &str) -> Option<u64> {
    let raw = BASE64.decode(base64).ok().filter(|raw| raw.len() <= 8)?;
    Some(raw.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
}

/// Lower-case hexadecimal, as ETags are written.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// The ETag of a multipart object: the MD5 of its parts' MD5s, and their count.
pub(super) fn multipart_etag<'a>(part_etags: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = part_etags.len();
    let mut md5 = Md5::new();
    for etag in part_etags {
        md5.update(unhex(etag));
    }
    format!("{}-{count}", hex(&md5.finalize()))
}

fn unhex(text: &str) -> Vec<u8> {
    let nibble = |b: u8| u8::try_from(char::from(b).to_digit(16).unwrap_or(0)).unwrap_or(0);
    text.as_bytes().chunks_exact(2).map(|pair| (nibble(pair[0]) << 4) | nibble(pair[1])).collect()
}
