//! One anonymous mapping, cut into equal page-aligned places.
#![allow(unsafe_code)]

use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// The one name of a place in a mapping: it can be moved, never copied, and
/// only [`Mapping::new`] makes any.
#[derive(Debug)]
pub(super) struct Place(usize);

/// `places` places of `place_bytes` each.
pub(super) struct Mapping {
    base: NonNull<u8>,
    place_bytes: usize,
    stride: usize,
    places: usize,
}

// SAFETY: M1. The mapping is plain memory; places are used by one owner each,
// and moving the base address between threads changes nothing about that.
unsafe impl Send for Mapping {}
// SAFETY: M1. Shared use touches disjoint places only.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// The mapping and the names of its places, which stay with it.
    pub(super) fn new(places: usize, place_bytes: usize) -> io::Result<(Self, Vec<Place>)> {
        let page = rustix::param::page_size();
        let bytes = place_bytes.checked_next_multiple_of(page).filter(|_| place_bytes > 0);
        let (Some(stride), 1..) = (bytes, places) else {
            let told = "a slab needs at least one buffer of at least one byte";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, told));
        };
        let bytes = stride
            .checked_mul(places)
            .filter(|bytes| isize::try_from(*bytes).is_ok())
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: M2. A new private mapping at an address of the kernel's choice.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), bytes, access, MapFlags::PRIVATE) }?;
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let names = (0..places).rev().map(Place).collect();
        Ok((Self { base, place_bytes, stride, places }, names))
    }

    pub(super) fn place_bytes(&self) -> usize {
        self.place_bytes
    }

    pub(super) fn places(&self) -> usize {
        self.places
    }

    /// The first byte of a place.
    fn start(&self, place: &Place) -> *mut u8 {
        assert!(place.0 < self.places, "place {} is outside the slab", place.0);
        // SAFETY: M3. The place is inside, so the address is inside the mapping.
        unsafe { self.base.as_ptr().add(place.0 * self.stride) }
    }

    pub(super) fn bytes<'a>(&'a self, place: &'a Place) -> &'a [u8] {
        // SAFETY: M1, M3. The kernel zeroed the bytes, so they are initialised.
        unsafe { std::slice::from_raw_parts(self.start(place), self.place_bytes) }
    }

    pub(super) fn bytes_mut<'a>(&'a self, place: &'a mut Place) -> &'a mut [u8] {
        // SAFETY: M1, M3. The one name of the place is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start(place), self.place_bytes) }
    }

    /// Gives the memory of a place back to the kernel; it reads as zero next.
    pub(super) fn discard(&self, place: &mut Place) {
        let start = self.start(place).cast();
        // Refused advice costs memory, never correctness.
        // SAFETY: M1, M4. Private memory, its one name borrowed mutably.
        let _refused = unsafe { madvise(start, self.stride, Advice::LinuxDontNeed) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: M2. The mapping is ours, whole, and no buffer outlives it.
        let refused = unsafe { munmap(self.base.as_ptr().cast(), self.stride * self.places) };
        debug_assert!(refused.is_ok(), "the slab's own mapping must unmap");
    }
}
