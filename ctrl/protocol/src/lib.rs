//! Every wire the pod speaks, as types and framing: no sockets, no runtime.
//!
//! ```text
//! service ──logger (WebSocket)──┐            ┌──socket (unix)── osmo-exec
//!         ──token (HTTP)────────┤ osmo-ctrl ─┤
//!         ──router (WebSocket)──┘            └──events (pipe)── local runner
//! osmo-init ──layout, handoff──► both
//! ```

pub mod events;
pub mod exit;
pub mod exposition;
pub mod flags;
pub mod items;
pub mod layout;
pub mod logger;
pub mod login;
mod python;
pub mod router;
pub mod socket;
pub mod terminal;
pub mod termination;
pub mod token;
