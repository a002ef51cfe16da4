//! A browser's WebSocket, relayed message by message.

use super::super::Shared;
use super::super::link::{Frame, Link, Out};
use super::{EXPIRED, Payload, Unreachable, call_backend};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// Serves an accepted socket. `payload` is what the sidecar needs to open the
/// other end: path and headers.
pub(in super::super) async fn serve(
    browser: Link,
    key: &str,
    cookie: &str,
    payload: Payload,
    shared: &Shared,
) {
    if !shared.webservers.is_alive(key, &shared.config) {
        return browser.close(4000, EXPIRED).await;
    }
    match call_backend(key, cookie, Some(payload), shared).await {
        Ok(backend) => relay(browser, backend, shared.config.strict).await,
        Err(Unreachable::Late) => {
            browser.close(4000, "Connection timed out waiting for backend").await;
        }
        Err(Unreachable::Gone) => browser.drop_peer().await,
    }
}

async fn relay(mut browser: Link, mut backend: Link, strict: bool) {
    let task_left = AtomicBool::new(false);
    let broken = {
        let up = copy(&mut browser.inbound, &backend.outbound, &task_left);
        let never = AtomicBool::new(false);
        let down = async {
            let broken = copy(&mut backend.inbound, &browser.outbound, &never).await;
            task_left.store(true, Ordering::Relaxed);
            broken
        };
        tokio::pin!(up, down);
        // The real router passes neither end's close on: the other end learns
        // of it when it says something.
        tokio::select! {
            broken = &mut up => broken || (strict && down.await),
            broken = &mut down => broken || (strict && up.await),
        }
    };
    if !strict {
        tokio::join!(browser.close(1000, ""), backend.close(1000, ""));
    } else if broken {
        browser.drop_peer().await;
    }
}

/// Copies until `from` has left (false) or `to` cannot be told (true).
async fn copy(
    from: &mut mpsc::Receiver<Frame>,
    to: &mpsc::Sender<Out>,
    to_left: &AtomicBool,
) -> bool {
    while let Some(frame) = from.recv().await {
        let out = match frame {
            Frame::Text(text) => Out::Text(String::from_utf8_lossy(&text).into_owned()),
            Frame::Binary(bytes) => Out::Binary(bytes),
        };
        if to_left.load(Ordering::Relaxed) || to.send(out).await.is_err() {
            return true;
        }
    }
    false
}
