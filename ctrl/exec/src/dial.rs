//! Finds the sidecar: a container may start long before the other.

use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

const WAIT_MIN: Duration = Duration::from_millis(10);
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The waits between attempts: they double up to a second.
#[derive(Debug, Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = (WAIT_MIN * 2u32.saturating_pow(self.0)).min(WAIT_MAX);
        self.0 = (self.0 + 1).min(10);
        wait
    }
}

/// Dials `socket` until somebody answers or `limit` has passed.
///
/// # Errors
/// A sentence, when the time is up.
pub(crate) async fn dial(socket: &Path, limit: Duration) -> Result<UnixStream, String> {
    let begin = Instant::now();
    let mut backoff = Backoff::default();
    loop {
        let error = match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        let wait = backoff.wait();
        if begin.elapsed() + wait > limit {
            let (place, minutes) = (socket.display(), limit.as_secs() / 60);
            return Err(format!(
                "nobody answered at {place} for {minutes} minutes ({error}): \
                 did osmo-ctrl start, and with the same -socketPath?"
            ));
        }
        sleep(wait).await;
    }
}
