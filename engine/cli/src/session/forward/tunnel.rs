//! The way to one port of a task: a control pair, and a pair a connection.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use osmo_link::Socket;
use osmo_protocol::logger::Route;
use osmo_protocol::router::{DialBack, PairKind};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::session::service::Service;
use crate::session::trouble::Trouble;

/// Announcements on their way.
const CALLS_MAX: usize = 64;

pub(in crate::session) struct Tunnel {
    pub(in crate::session) service: Arc<Service>,
    /// The client's path, of control and data pairs alike.
    pub(in crate::session) kind: PairKind,
    pub(in crate::session) workflow: String,
    /// How long the task has to come.
    pub(in crate::session) wait: Duration,
}

/// Announces connections on a control pair.
#[derive(Clone)]
pub(in crate::session) struct Calls(mpsc::Sender<DialBack>);

impl Calls {
    pub(in crate::session) fn new() -> (Self, mpsc::Receiver<DialBack>) {
        let (calls, pending) = mpsc::channel(CALLS_MAX);
        (Self(calls), pending)
    }
}

impl Tunnel {
    pub(in crate::session) async fn control(&self, route: &Route) -> Result<Socket, Trouble> {
        self.service.dial(self.kind, &self.workflow, route, self.wait).await
    }

    /// A pair for one connection, announced to the task.
    pub(in crate::session) async fn connect(
        &self,
        control: &Route,
        calls: &Calls,
    ) -> Result<Socket, Trouble> {
        let cookie = self.service.cookie(&control.router_address, self.wait).await?;
        let key = format!("PORTFORWARD-{}", uuid::Uuid::new_v4().simple());
        let call = DialBack { key: key.clone(), cookie: cookie.clone(), kind: None, payload: None };
        let gone = |_| Trouble::Transient("the control connection is gone".into());
        calls.0.send(call).await.map_err(gone)?;
        let route = Route { router_address: control.router_address.clone(), key, cookie };
        self.service.dial(self.kind, &self.workflow, &route, self.wait).await
    }
}

/// Sends what is to be announced, until the control pair ends.
pub(in crate::session) async fn announce(
    mut control: Socket,
    mut pending: mpsc::Receiver<DialBack>,
) -> Trouble {
    let lost = |why: &str| Trouble::Transient(format!("the control connection was lost{why}"));
    loop {
        tokio::select! {
            message = control.next() => match message {
                Some(Ok(Message::Close(_))) | None => return lost(""),
                Some(Ok(_)) => {}
                Some(Err(error)) => return lost(&format!(": {error}")),
            },
            Some(call) = pending.recv() => {
                let Ok(call) = serde_json::to_vec(&call) else { continue };
                if let Err(error) = control.send(Message::binary(call)).await {
                    return lost(&format!(": {error}"));
                }
            }
        }
    }
}
