//! From the tree to the model: one reader for each map of the file.
//!
//! Readers go on after a fault, with a harmless value in its place, so that all
//! faults of a file are found at once; the model is used only when none was.

pub(super) mod cursor;
pub(super) mod data;
pub(super) mod files;
pub(super) mod form;
pub(super) mod keys;
pub(super) mod quantity;
pub(super) mod spec;
pub(super) mod task;
