//! From bytes to values: the layers under the model, each blind to the next.
//!
//! ```text
//! file ─► sections (lines) ─► template (workflow section only) ─► yaml (tree) ─► scalar (values)
//! ```
//!
//! The dialect is the one that OSMO's service reads: sections are cut by line
//! before any YAML is parsed, templates are Jinja's, scalars are YAML 1.1's.

pub(super) mod lines;
pub(super) mod python;
pub(super) mod scalar;
pub(super) mod sections;
pub(super) mod template;
pub(super) mod yaml;

/// The largest workflow file and the largest rendered text, in bytes.
///
/// What a pod is given travels in Secrets of at most 1 MiB; sixteen of them are
/// more than any file that can run.
pub const TEXT_BYTES_MAX: usize = 16 << 20;
