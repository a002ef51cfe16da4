//! Whether the destination already holds an object.

use std::fs::File;
use std::io::Read;

use md5::{Digest as _, Md5};
use rustix::fs::{FileType, Mode, OFlags};

use crate::digest::{Declared, Digest};
use crate::disk::{c_path, fault};
use crate::error::Result;
use crate::object::Object;
use crate::path::base_name;
use crate::ring::{Fd, Ring};

/// Read at once by the worker that compares.
const READ_BYTES: usize = 64 << 10;

/// What the local content is compared with.
enum Expected {
    /// The entity tag of a simple object.
    Md5([u8; 16]),
    Crc(Declared),
}

/// Whether the file in `folder` has the object's size and content. Where the
/// store says nothing that can be compared, it has not.
///
/// # Errors
/// No descriptor is left.
pub(super) async fn holds(ring: &Ring, folder: &Fd, object: &Object) -> Result<bool> {
    let Some(expected) = expected(object) else { return Ok(false) };
    let name = c_path(base_name(&object.path))?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let Ok(fd) = ring.open_at(folder, &name, flags, Mode::empty()).await else {
        return Ok(false);
    };
    let Ok(stat) = rustix::fs::fstat(&*fd) else { return Ok(false) };
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !regular || u64::try_from(stat.st_size) != Ok(object.bytes) {
        return Ok(false);
    }
    let file = fd.try_clone().map_err(|error| fault("read", &object.path, error))?;
    let bytes = object.bytes;
    // A file that cannot be read is simply fetched again.
    let equal = ring.on_worker(move || equal(File::from(file), bytes, &expected)).await;
    Ok(equal.unwrap_or(false))
}

fn expected(object: &Object) -> Option<Expected> {
    if let Some(declared) = Declared::strongest(&object.checksums) {
        return Some(Expected::Crc(declared));
    }
    let etag = object.etag.as_deref()?.trim_matches('"');
    if etag.len() != 32 || !etag.is_ascii() {
        return None;
    }
    let mut md5 = [0; 16];
    for (byte, pair) in md5.iter_mut().zip(0_usize..) {
        *byte = u8::from_str_radix(etag.get(2 * pair..2 * pair + 2)?, 16).ok()?;
    }
    Some(Expected::Md5(md5))
}

fn equal(mut file: File, bytes: u64, expected: &Expected) -> std::io::Result<bool> {
    let mut buffer = vec![0; READ_BYTES];
    let mut md5 = Md5::new();
    let mut crc = match expected {
        Expected::Crc(declared) => Some(Digest::new(declared.algorithm)),
        Expected::Md5(_) => None,
    };
    let mut seen: u64 = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        seen += count as u64;
        match &mut crc {
            Some(digest) => digest.update(&buffer[..count]),
            None => md5.update(&buffer[..count]),
        }
    }
    let same = match (expected, crc) {
        (Expected::Crc(declared), Some(digest)) => digest.value() == declared.value,
        (Expected::Md5(expected), _) => md5.finalize().as_slice() == expected,
        (Expected::Crc(_), None) => false,
    };
    Ok(same && seen == bytes)
}
