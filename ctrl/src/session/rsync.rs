//! rsync: a TCP port, while its daemon runs.

use std::sync::Arc;

use jiff::Timestamp;
use osmo_link::pump::Pumped;
use osmo_protocol::logger::Route;
use osmo_protocol::router::PairKind;

use super::Shared;
use super::control::{Control, Form};
use super::tcp::{self, Port};
use crate::meters::Kind;

/// Serves the daemon's port; without a daemon the pair is closed at once.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    route: &Route,
    telemetry: bool,
) -> Result<(), String> {
    let Some(port) = shared.agent.rsync() else {
        shared.refuse(PairKind::Rsync, route).await;
        return Err("rsync does not run in this task (yet): try again in some seconds; it \
                    starts with the command and needs rsync enabled for the pool"
            .to_owned());
    };
    let begin = Timestamp::now();
    let socket = shared.dialer.control(PairKind::Rsync, route).await?;
    let port = Port::new(port, Kind::Rsync, &route.router_address);
    let _told = telemetry.then(|| Told { shared, port: Arc::clone(&port), begin });
    tcp::carry(shared, Control::new(socket, Form::Binary), &port).await;
    Ok(())
}

/// Tells what the session moved when it is over, also when the task ends it.
struct Told<'a> {
    shared: &'a Shared,
    port: Arc<Port>,
    begin: Timestamp,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        let Pumped { sent, received } = self.port.moved();
        self.shared.tell_moved("RSYNC_INPUT", self.begin, received);
        self.shared.tell_moved("RSYNC_OUTPUT", self.begin, sent);
    }
}
