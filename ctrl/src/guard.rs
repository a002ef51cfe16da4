//! A task that panics is the sidecar's failure, and not its silence: whoever
//! waits for it gets an event, the log a line, the operator a message.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use osmo_protocol::exit::ExitCode;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::lifecycle::{Event, Failure};

/// Runs `task` on its own; `lost` makes the event of its panic.
pub(crate) fn spawn(
    events: mpsc::Sender<Event>,
    lost: fn(Failure) -> Event,
    task: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(failure) = caught(task).await {
            let _ = events.send(lost(failure)).await;
        }
    })
}

/// What `task` comes to, its panic a failure.
pub(crate) async fn caught<T>(task: impl Future<Output = T>) -> Result<T, Failure> {
    // What the task shared is behind locks that outlive a panic.
    AssertUnwindSafe(task).catch_unwind().await.map_err(|panic| failure(&*panic))
}

/// As [`caught`], for the thread's own work.
pub(crate) fn caught_here<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panic| failure(&*panic))
}

fn failure(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
    let sentence = format!("The sidecar failed inside, which is a bug worth a report: {text}");
    Failure::new(ExitCode::Misc, sentence)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use osmo_protocol::exit::ExitCode;
    use tokio::sync::mpsc;

    use super::{caught_here, spawn};
    use crate::lifecycle::Event;

    #[tokio::test]
    async fn a_panic_becomes_an_event() {
        let (events, mut inbox) = mpsc::channel(1);
        spawn(events.clone(), Event::LinkLost, async {}).await.unwrap();
        spawn(events, Event::LinkLost, async { panic!("no {}", 7) }).await.unwrap();
        let Some(Event::LinkLost(failure)) = inbox.recv().await else { panic!("no event") };
        assert_eq!(failure.code, ExitCode::Misc);
        assert!(failure.sentence.ends_with(": no 7"), "{}", failure.sentence);
        assert!(inbox.recv().await.is_none(), "an end in order is no event");
    }

    #[test]
    fn a_panic_on_the_way_out_is_a_failure() {
        assert_eq!(caught_here(|| 7).unwrap(), 7);
        let failure = caught_here(|| panic!("late")).map(|(): ()| ()).unwrap_err();
        assert_eq!(failure.code, ExitCode::Misc);
    }
}
