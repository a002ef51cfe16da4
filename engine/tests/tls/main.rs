//! GET and PUT over TLS against OpenSSL, under both drivers.
#![allow(clippy::unwrap_used)]

mod bench;
mod memory;
mod pki;
mod records;
#[path = "../scripted/mod.rs"]
mod scripted;
mod sdk;
mod server;
mod trust;
