//! The embedded S3 endpoint: objects in a folder, served as S3 on this machine.
//!
//! ```text
//! client ──HTTP──► server ──► s3s: HTTP, SigV4, XML ──► service
//!                                                         │ GET: body   PUT: receive
//!                                                         ▼
//!                    files ──► bucket: index in memory · journal · data files
//! ```
//!
//! It is a real endpoint for one machine: any client that speaks S3 can use it,
//! and it keeps what S3 promises about keys, ETags, checksums, ranges,
//! conditions, order and paging. It is not a server for a network: one access
//! key, no TLS, no versions, no access lists, no power-loss durability.
//!
//! # Invariants
//! - A key never becomes a path: data files are named by number.
//! - A data file is written once; an object changes by a journal record that
//!   names another file. A reader keeps the files it began with.
//! - Nothing is visible before its body has arrived whole and matched every
//!   digest that the request declared.
//! - Memory: an index entry for each object, two batches (1 MiB) for each body
//!   on its way in, a few buffers (256 KiB) for each on its way out.
//!
//! # Where it differs from S3
//! - A `Range` with several ranges, or one that cannot be read, is refused with
//!   400; S3 sends the whole object.
//! - Without `encoding-type=url` a listing writes control characters that XML
//!   1.0 cannot carry; ask for the encoding, as the usual clients do.
//! - Checksums of a multipart object are always those of the whole object.
//!
//! # Limits
//! Keys 1 to 1,024 bytes; pages of 1,000; parts 1 to 10,000, 5 MiB or more
//! except the last; 1,024 connections.

mod body;
mod bucket;
mod conditions;
pub mod dataset;
mod digest;
mod error;
mod files;
mod journal;
mod listing;
mod object;
mod receive;
mod replay;
mod server;
mod service;
mod staging;
mod uploads;

pub use bucket::{Bucket, KEY_BYTES_MAX};
pub use digest::Checksums;
pub use error::{StoreError, StoreResult};
pub use files::{FileStore, PutWriter};
pub use listing::PAGE_KEYS_MAX;
pub use object::{Attributes, Object, ObjectInfo, Segment};
pub use server::{StoreConfig, StoreServer, serve};
pub use uploads::{PART_BYTES_MIN, PART_NUMBER_MAX, PartInfo};
