//! GET and PUT on the ring against a scripted store, under both drivers.
#![allow(clippy::unwrap_used)]

mod bench;
mod get;
mod limits;
mod put;
#[path = "../scripted/mod.rs"]
mod scripted;
