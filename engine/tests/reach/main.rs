//! The ways out of the process: names, addresses, proxies, for shards and for
//! the SDK.
#![allow(clippy::unwrap_used)]

mod bypass;
mod dns;
mod lookup;
mod proxy;
mod racing;
#[path = "../scripted/mod.rs"]
mod scripted;
mod sdk;
mod support;
mod variables;
