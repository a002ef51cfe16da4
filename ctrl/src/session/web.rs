//! Browsers: the router asks for a pair for each request, and for each
//! WebSocket.
//!
//! ```text
//! router ── text {"key","type":"tcp"} ──► pair ─ request.rs ─► task's port
//!                                              ◄─ response.rs ─
//!        ── text {"key","type":"ws", …} ► pair ◄─ relay.rs ──► ws://127.0.0.1
//! ```
//!
//! The router wants each head in one message and in one notation; what the
//! task's server says is put into that form, and never more than it announced.
//! It passes no browser's end on: quiet pairs are ended here.

mod exchange;
mod relay;
mod request;
mod response;

use std::sync::Arc;

use osmo_protocol::logger::Route;
use osmo_protocol::router::{DialBack, DialBackKind, PairKind};

use super::Shared;
use super::control::{Control, Form, Word};
use super::tcp::{Dialling, Port};
use crate::meters::Kind;

/// Serves to the end of the control socket.
pub(super) async fn serve(shared: &Arc<Shared>, route: &Route, number: u16) -> Result<(), String> {
    let socket = shared.dialer.control(PairKind::WebServer, route).await?;
    let mut control = Control::new(socket, Form::Text);
    let port = Port::new(number, Kind::Web, &route.router_address);
    while let Some(word) = control.next().await {
        match word {
            Word::Junk(reason) => shared.say(reason),
            Word::Dial(dial) => port.begin(shared, dial, answer),
        }
    }
    port.end();
    control.hang_up().await;
    Ok(())
}

async fn answer(shared: Arc<Shared>, port: Arc<Port>, dial: DialBack, place: Dialling) {
    let served = match (dial.kind, &dial.payload) {
        (Some(DialBackKind::Ws), Some(request)) => {
            relay::serve(&shared, &port, &dial, place, request).await
        }
        _ => exchange::serve(&shared, &port, &dial, place).await,
    };
    if let Err(reason) = served {
        port.say_once(&shared, &reason);
    }
}
