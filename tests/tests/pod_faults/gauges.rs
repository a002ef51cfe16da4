//! What the sidecar tells about itself, read from its `/metrics`.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::{Pod, WATCHDOG};

impl Pod {
    /// `-health` and where: beside the socket.
    pub(crate) fn health(&self) -> [String; 2] {
        ["-health".to_owned(), format!("unix:{}", self.path("health").display())]
    }

    /// One sample; `None` while nobody answers or there is none.
    pub(crate) async fn gauge(&self, series: &str) -> Option<f64> {
        let mut stream = UnixStream::connect(self.path("health")).await.ok()?;
        let ask = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(ask).await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        lines.find(|(name, _)| *name == series).and_then(|(_, value)| value.parse().ok())
    }

    /// Waits until a sample is as wanted.
    pub(crate) async fn until_gauge(&self, series: &str, is: impl Fn(f64) -> bool) {
        let mut last = None;
        let waited = timeout(WATCHDOG, async {
            loop {
                last = self.gauge(series).await;
                if last.is_some_and(&is) {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
        let waited = waited.await;
        assert!(waited.is_ok(), "{series} is {last:?}");
    }
}
