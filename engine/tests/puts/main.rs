//! Uploads against stores that check, ignore or refuse what goes along with
//! the bytes, under both drivers.
#![allow(clippy::unwrap_used)]

mod body;
mod complete;
mod conditions;
mod desk;
mod ladder;
mod options;
mod store;
