//! Bytes of objects that nobody stores.
//!
//! A block of pseudo-random bytes repeats; each of its pages begins with a
//! stamp of the object and the page's number, so that no two places of a data
//! set are alike and a byte at the wrong offset is a wrong byte. To send a
//! stretch only stamps are written: the block itself stays in the cache.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use osmo_engine::digest::{Algorithm, Digest};

use super::schedule::mix;

/// Bytes between two stamps.
pub const PAGE_BYTES: usize = 4096;
const BLOCK_BYTES: usize = 256 << 10;
const STAMP_BYTES: usize = 16;

/// The content of all objects of one seed.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    seed: u64,
}

impl Content {
    /// Content that depends on `seed` alone.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// A place to look at it through; 256 KiB.
    pub fn window(self) -> Window {
        let words = (0..BLOCK_BYTES as u64 / 8).map(|word| mix(self.seed ^ mix(word)));
        let block: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        Window { seed: self.seed, block }
    }

    /// CRC64NVME of the first `bytes` bytes of an object, base64.
    pub fn crc64nvme(self, window: &mut Window, object: u64, bytes: u64) -> String {
        let mut digest = Digest::new(Algorithm::Crc64Nvme);
        let mut at = 0;
        while at < bytes {
            let stretch = window.at(object, at, bytes - at);
            digest.update(stretch);
            at += stretch.len() as u64;
        }
        Algorithm::Crc64Nvme.encode(digest.value())
    }

    /// Writes an object of `bytes` bytes to a file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(
        self,
        window: &mut Window,
        object: u64,
        bytes: u64,
        path: &Path,
    ) -> io::Result<()> {
        let mut file = BufWriter::with_capacity(BLOCK_BYTES, File::create(path)?);
        let mut at = 0;
        while at < bytes {
            let stretch = window.at(object, at, bytes - at);
            file.write_all(stretch)?;
            at += stretch.len() as u64;
        }
        file.flush()
    }
}

/// One block, stamped for the place that is looked at.
#[derive(Clone, Debug)]
pub struct Window {
    seed: u64,
    block: Vec<u8>,
}

impl Window {
    /// Bytes of `object` from `offset` on, `bytes_max` at most: at least one,
    /// and up to the end of the block that the offset lies in.
    pub fn at(&mut self, object: u64, offset: u64, bytes_max: u64) -> &[u8] {
        let start = usize::try_from(offset % BLOCK_BYTES as u64).unwrap_or(0);
        let wanted = usize::try_from(bytes_max).unwrap_or(usize::MAX).max(1);
        let end = start.saturating_add(wanted).min(BLOCK_BYTES);
        let origin = offset - start as u64;
        let key = mix(self.seed ^ mix(object));
        for page in start / PAGE_BYTES..end.div_ceil(PAGE_BYTES) {
            let number = origin / PAGE_BYTES as u64 + page as u64;
            let stamp = [mix(key ^ number), mix(!key ^ number)];
            let place = page * PAGE_BYTES;
            self.block[place..place + 8].copy_from_slice(&stamp[0].to_le_bytes());
            self.block[place + 8..place + STAMP_BYTES].copy_from_slice(&stamp[1].to_le_bytes());
        }
        &self.block[start..end]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::HashSet;
    use std::process::Command;

    fn read(seed: u64, object: u64, start: u64, end: u64, step: u64) -> Vec<u8> {
        let mut window = Content::new(seed).window();
        let mut bytes = Vec::new();
        while start + (bytes.len() as u64) < end {
            let at = start + bytes.len() as u64;
            bytes.extend_from_slice(window.at(object, at, step.min(end - at)));
        }
        bytes
    }

    #[test]
    fn a_stretch_is_the_same_however_it_is_asked_for() {
        let whole = read(1, 7, 0, 600_001, u64::MAX);
        assert_eq!(whole.len(), 600_001);
        for (start, end, step) in
            [(0, 600_001, 4095), (4090, 300_000, 77_777), (262_143, 262_146, 1)]
        {
            let expected = &whole[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()];
            assert!(read(1, 7, start, end, step) == expected, "{start}..{end} by {step}");
        }
    }

    #[test]
    fn no_two_pages_are_alike() {
        let mut pages = HashSet::new();
        for object in 0..4 {
            for page in read(1, object, 0, 1 << 20, u64::MAX).chunks(PAGE_BYTES) {
                assert!(pages.insert(page[..STAMP_BYTES].to_vec()));
            }
        }
        assert_ne!(read(1, 0, 0, 64, 64), read(2, 0, 0, 64, 64));
    }

    // gzip is the judge of what cannot be compressed.
    #[test]
    fn it_does_not_compress() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object");
        let content = Content::new(9);
        content.write(&mut content.window(), 3, 200_000, &path).unwrap();
        let packed = Command::new("gzip").arg("-9c").arg(&path).output().unwrap().stdout;
        assert!(packed.len() > 199_000, "{} bytes", packed.len());
    }
}
