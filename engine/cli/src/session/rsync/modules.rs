//! Which folders of a task can be copied: what the service allows, and what
//! the task's daemon has.

use futures_util::{SinkExt as _, StreamExt as _};
use http::Method;
use osmo_protocol::logger::Route;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::path::{Direction, choose, normal};
use super::{Calls, Trouble, Tunnel};
use crate::session::service::Service;

/// Bytes of a daemon's list.
const LIST_BYTES_MAX: usize = 64 << 10;
/// What every daemon of the last decades understands.
const GREETING: &[u8] = b"@RSYNCD: 27\n";

/// A folder of a task under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) writable: bool,
}

/// The module that holds `remote`, and the path below it.
pub(super) async fn find(
    service: &Service,
    direction: Direction,
    remote: &str,
) -> Result<(Module, String), Trouble> {
    let mut modules =
        vec![Module { name: "osmo".into(), path: "/osmo/run/workspace".into(), writable: true }];
    // A service without the call allows the workspace alone.
    match service.ask(&Method::GET, "/api/plugins/configs").await {
        Ok(configs) => modules.extend(allowed(&configs)),
        Err(Trouble::Refused(_) | Trouble::Login(_)) => {}
        Err(trouble) => return Err(trouble),
    }
    choose(&modules, direction, remote)
}

fn allowed(configs: &serde_json::Value) -> Vec<Module> {
    let paths = configs.pointer("/rsync/allowed_paths").and_then(|paths| paths.as_object());
    let module = |(name, entry): (&String, &serde_json::Value)| {
        Some(Module {
            name: name.clone(),
            path: normal(entry.get("path")?.as_str()?)?,
            writable: entry.get("writable").and_then(serde_json::Value::as_bool).unwrap_or(false),
        })
    };
    paths.into_iter().flatten().filter_map(module).collect()
}

/// Asks the task's daemon, over a connection of its own.
pub(super) async fn list(
    tunnel: &Tunnel,
    control: &Route,
    calls: &Calls,
) -> Result<Vec<String>, Trouble> {
    match timeout(tunnel.wait, converse(tunnel, control, calls)).await {
        Ok(names) => names,
        Err(_) => Err(Trouble::Transient(format!("nothing within {} s", tunnel.wait.as_secs()))),
    }
}

async fn converse(tunnel: &Tunnel, control: &Route, calls: &Calls) -> Result<Vec<String>, Trouble> {
    let broken =
        |error: tokio_tungstenite::tungstenite::Error| Trouble::Transient(error.to_string());
    let mut pair = tunnel.connect(control, calls).await?;
    let mut heard = Vec::new();
    let mut greeted = false;
    while let Some(message) = pair.next().await {
        match message.map_err(broken)? {
            Message::Binary(bytes) => heard.extend_from_slice(&bytes),
            Message::Close(_) => break,
            _ => continue,
        }
        if heard.len() > LIST_BYTES_MAX {
            return Err(Trouble::Transient("the list of modules has no end".into()));
        }
        if !greeted && heard.contains(&b'\n') {
            greeted = true;
            pair.send(Message::binary(GREETING.to_vec())).await.map_err(broken)?;
            pair.send(Message::binary(b"\n".to_vec())).await.map_err(broken)?;
        }
        if let Some(names) = names(&heard) {
            let _ = pair.close(None).await;
            return Ok(names);
        }
    }
    Err(Trouble::Transient("the connection was closed".into()))
}

/// The first word of each line between greeting and exit; `None` before the
/// exit has come. Daemons may send lines of greetings that name no module.
fn names(heard: &[u8]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(heard);
    let (greeting, rest) = text.split_once('\n')?;
    if !greeting.starts_with("@RSYNCD:") {
        return Some(Vec::new());
    }
    let list = rest.strip_suffix("@RSYNCD: EXIT\n")?;
    let words = list.lines().filter_map(|line| line.split_whitespace().next());
    Some(words.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{allowed, names};

    // The recording of an rsync pair.
    #[test]
    fn the_list_is_read_as_recorded() {
        assert_eq!(names(b"@RSYNCD: 27\nosmo\tosmo\n@RSYNCD: EXIT\n").unwrap(), ["osmo"]);
        assert_eq!(names(b"@RSYNCD: 27\nosmo\tosmo\n@RSYNCD"), None);
        assert_eq!(
            names(b"@RSYNCD: 31.0 sha512\nosmo  \tw\ndata\t\n@RSYNCD: EXIT\n").unwrap(),
            ["osmo", "data"]
        );
    }

    #[test]
    fn the_service_s_folders_are_read() {
        let configs = serde_json::json!({"rsync": {"allowed_paths": {
            "data": {"path": "/data/", "writable": false}, "bad": {"path": 3}}}});
        let modules = allowed(&configs);
        assert_eq!(modules.len(), 1);
        assert_eq!(
            (&*modules[0].name, &*modules[0].path, modules[0].writable),
            ("data", "/data", false)
        );
        assert!(allowed(&serde_json::json!({})).is_empty());
    }
}
