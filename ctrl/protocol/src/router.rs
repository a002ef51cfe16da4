//! Router paths and headers.
