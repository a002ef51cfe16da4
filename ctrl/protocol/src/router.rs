//! The router: two WebSockets under one key become one pipe.
//!
//! ```text
//! user ── client/KEY ──► router ◄── backend/KEY ── sidecar
//! ```
//!
//! Binary frames only. A text frame ends the pair, an empty binary one ends its
//! direction: never send either.

use crate::token::QUERY;
use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What a pair is for; it chooses the path and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PairKind {
    /// A terminal.
    Exec,
    /// Ports; also every data connection of an rsync on the sidecar's side.
    PortForward,
    /// The control connection of an rsync.
    Rsync,
    /// The control connection of a webserver.
    WebServer,
}

impl PairKind {
    /// As written in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::PortForward => "portforward",
            Self::Rsync => "rsync",
            Self::WebServer => "webserver",
        }
    }
}

/// The two ends of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The sidecar.
    Backend,
    /// The user.
    Client,
}

impl Side {
    /// As written in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Client => "client",
        }
    }
}

/// The path to dial.
pub fn pair_path(kind: PairKind, workflow: &str, side: Side, key: &str) -> String {
    let quote = |text| utf8_percent_encode(text, QUERY);
    format!("/api/router/{}/{}/{}/{}", kind.as_str(), quote(workflow), side.as_str(), quote(key))
}

/// On a control pair: dial back under this key. From the user it comes in a
/// binary frame, from the router (webserver) in a text frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialBack {
    /// `PORTFORWARD-<32 hex>`
    pub key: String,
    /// Passed verbatim as the `Cookie` header.
    #[serde(default)]
    pub cookie: String,
    /// Only from the router.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<DialBackKind>,
    /// Only for [`DialBackKind::Ws`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<WsRequest>,
}

/// What to connect inside the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialBackKind {
    /// Bytes of one HTTP exchange.
    Tcp,
    /// A WebSocket, message by message.
    Ws,
}

/// A browser's WebSocket, to be opened inside the task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WsRequest {
    /// Path and query.
    pub path: String,
    /// Headers without the hop-by-hop ones.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// The head of every datagram on a UDP pair: the user-side source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UdpSource {
    /// Address on the user's machine.
    pub address: Ipv4Addr,
    /// Port on the user's machine.
    pub port: u16,
}

impl UdpSource {
    /// Bytes of the head.
    pub const LEN: usize = 6;

    /// Head of a message.
    pub fn encode(self) -> [u8; Self::LEN] {
        let [a, b, c, d] = self.address.octets();
        let [high, low] = self.port.to_be_bytes();
        [a, b, c, d, high, low]
    }

    /// Splits a message into head and datagram; `None` when it is too short.
    pub fn split(message: &[u8]) -> Option<(Self, &[u8])> {
        let (&[a, b, c, d, high, low], datagram) = message.split_first_chunk::<{ Self::LEN }>()?;
        let source =
            Self { address: Ipv4Addr::new(a, b, c, d), port: u16::from_be_bytes([high, low]) };
        Some((source, datagram))
    }
}
