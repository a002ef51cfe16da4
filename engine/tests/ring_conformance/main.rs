//! One suite over what the ring's operations mean, run under every driver.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]
#![allow(clippy::cast_possible_truncation)] // patterns of bytes

mod cancel;
mod chaos;
mod executor;
mod files;
mod sockets;
mod support;
