//! Whether the destination already holds an object.

use std::fs::File;
use std::io::Read;

use rustix::fs::{FileType, Mode, OFlags};

use crate::digest::{Expected, Running};
use crate::disk::{c_path, fault};
use crate::error::Result;
use crate::object::Object;
use crate::path::base_name;
use crate::ring::{Fd, Ring};

/// Read at once by the worker that compares.
const READ_BYTES: usize = 64 << 10;

/// Whether the file in `folder` has the object's size and content. Where the
/// store says nothing that can be compared, it has not.
///
/// # Errors
/// No descriptor is left.
pub(super) async fn holds(ring: &Ring, folder: &Fd, object: &Object) -> Result<bool> {
    // Of an encrypted object the tag is another one, and the object is fetched.
    let expected = object.expected();
    if matches!(expected, Expected::Nothing(_)) {
        return Ok(false);
    }
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
    let equal = ring.on_worker(move || equal(File::from(file), bytes, expected)).await;
    Ok(equal.unwrap_or(false))
}

fn equal(mut file: File, bytes: u64, expected: Expected) -> std::io::Result<bool> {
    let Some(mut running) = Running::towards(expected) else { return Ok(false) };
    let mut buffer = vec![0; READ_BYTES];
    let mut seen: u64 = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        seen += count as u64;
        running.update(&buffer[..count]);
    }
    Ok(seen == bytes && running.finish().is(expected))
}
