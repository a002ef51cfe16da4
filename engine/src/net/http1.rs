//! HTTP/1.1 without I/O: heads and body framing (RFC 9112).
//!
//! Everything here is a function of bytes, so that it can be tested at every
//! split and fuzzed.

pub mod body;
pub mod chunked;
pub mod head;
pub mod request;

pub use body::{Body, BodyFault};
pub use head::{HeadFault, ResponseHead};
pub use request::{HeadRefused, Method, RequestHead};
