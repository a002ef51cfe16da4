//! Webservers: the control sockets under which a task serves browsers.
//!
//! A key stays known for a while after its sidecar has left, as the real
//! router's do: at least [`ServiceConfig::webserver_kept`], and then until no
//! browser has asked for [`ServiceConfig::webserver_idle`]. A control socket
//! that is still there is closed with 1000 then.

use super::Shared;
use super::config::ServiceConfig;
use super::link::{Link, Out};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Keys remembered.
const KEYS_MAX: usize = 1024;

/// By key in small letters.
#[derive(Default)]
pub(crate) struct Webservers(Mutex<BTreeMap<String, Webserver>>);

struct Webserver {
    control: mpsc::Sender<Out>,
    began: Instant,
    /// When a browser asked last.
    used: Instant,
}

impl Webserver {
    /// How long it is kept from now on; `None` when that is over.
    fn left(&self, config: &ServiceConfig) -> Option<Duration> {
        let kept = config.webserver_kept.saturating_sub(self.began.elapsed());
        let idle = config.webserver_idle.saturating_sub(self.used.elapsed());
        Some(kept.max(idle)).filter(|left| !left.is_zero())
    }
}

impl Webservers {
    /// A restart forgets every key.
    pub(crate) fn clear(&self) {
        self.table().clear();
    }

    /// Whether one was registered under the key, in any case of letters.
    pub(crate) fn is_alive(&self, key: &str, config: &ServiceConfig) -> bool {
        self.left(key, config).is_some()
    }

    /// The control socket for a browser's request; it may have left.
    pub(crate) fn control(&self, key: &str) -> Option<mpsc::Sender<Out>> {
        let mut table = self.table();
        let found = table.get_mut(&key.to_lowercase())?;
        found.used = Instant::now();
        Some(found.control.clone())
    }

    /// The latest control socket under a key counts.
    pub(crate) fn register(&self, key: &str, control: mpsc::Sender<Out>) {
        let mut table = self.table();
        if table.len() >= KEYS_MAX {
            table.pop_first();
        }
        let now = Instant::now();
        table.insert(key.to_lowercase(), Webserver { control, began: now, used: now });
    }

    /// Forgets a control socket that never came to be, unless another one has
    /// the key by now.
    pub(crate) fn unregister(&self, key: &str, control: &mpsc::Sender<Out>) {
        let (mut table, key) = (self.table(), key.to_lowercase());
        if table.get(&key).is_some_and(|known| known.control.same_channel(control)) {
            table.remove(&key);
        }
    }

    /// How long the key is kept from now on; forgets it when that is over.
    fn left(&self, key: &str, config: &ServiceConfig) -> Option<Duration> {
        let (mut table, key) = (self.table(), key.to_lowercase());
        let left = table.get(&key)?.left(config);
        if left.is_none() {
            table.remove(&key);
        }
        left
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Webserver>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds a control socket until its key is over or it has left. Nothing that it
/// says is heard.
pub(crate) async fn serve(mut link: Link, key: &str, shared: &Shared) {
    loop {
        let Some(left) = shared.webservers.left(key, &shared.config) else {
            return link.close(1000, "").await;
        };
        tokio::select! {
            heard = link.inbound.recv() => if heard.is_none() { return },
            () = tokio::time::sleep(left) => {}
        }
    }
}
