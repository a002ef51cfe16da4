//! rsync: a TCP port, while its daemon runs.

use std::sync::Arc;

use jiff::Timestamp;
use osmo_protocol::logger::Route;
use osmo_protocol::router::PairKind;

use super::{Shared, tcp};

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
    let moved = tcp::serve(shared, PairKind::Rsync, route, port).await?;
    if telemetry {
        shared.tell_moved("RSYNC_INPUT", begin, moved.received);
        shared.tell_moved("RSYNC_OUTPUT", begin, moved.sent);
    }
    Ok(())
}
