//! `aws-chunked` with an unsigned trailer, in one chunk: what stands before
//! and behind a body, and how long all of it is.
//!
//! ```text
//!  <bytes in hex>\r\n  body  \r\n0\r\nx-amz-checksum-crc64nvme:<base64>\r\n\r\n
//! ```
//!
//! One chunk and not many, since the length is known: S3 sets a chunk's least
//! size and no greatest one.

/// The name of the trailer.
pub(super) const TRAILER: &str = "x-amz-checksum-crc64nvme";

/// What stands before a body of `bytes` bytes; the last chunk of an empty body
/// is its only one.
pub(super) fn start(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { format!("{bytes:x}\r\n") }
}

/// What stands behind it.
pub(super) fn end(bytes: u64, crc64nvme: &str) -> String {
    let chunk_end = if bytes == 0 { "" } else { "\r\n" };
    format!("{chunk_end}0\r\n{TRAILER}:{crc64nvme}\r\n\r\n")
}

/// The length of all of it.
pub(super) fn framed_bytes(bytes: u64) -> u64 {
    // Eight bytes are twelve characters of base64.
    let around = start(bytes).len() + end(bytes, "AAAAAAAAAAA=").len();
    bytes + around as u64
}
