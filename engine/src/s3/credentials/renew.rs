//! When the source is asked again, and what becomes of its answer.
//!
//! Limits: [`Cadence::DEFAULT`]. Credentials are renewed when half of their
//! remaining life is over, and not earlier than five minutes before its end.
//! Whoever was refused waits a bounded time for fresh ones, and not at all
//! where they name no end of their life: their source has nothing else to give.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use tokio::time::Instant;

use super::{Shared, Source};

/// All limits on renewal.
#[derive(Clone, Copy, Debug)]
pub(in crate::s3) struct Cadence {
    /// The longest time before expiry at which long-lived ones are renewed.
    margin_max: Duration,
    /// The least time between two questions to a source.
    pause_min: Duration,
    /// The wait after a source has failed; it doubles up to the next.
    pause_failed: Duration,
    /// The longest wait after failures.
    pause_max: Duration,
    /// The same while somebody waits who was refused.
    pause_awaited_max: Duration,
    /// A source that takes longer has failed; a `credential_process` has no
    /// limit of its own.
    ask_max: Duration,
    /// How long whoever was refused waits before the source is given up.
    fresh_within: Duration,
}

impl Cadence {
    pub(in crate::s3) const DEFAULT: Self = Self {
        margin_max: Duration::from_secs(300),
        pause_min: Duration::from_millis(500),
        pause_failed: Duration::from_secs(1),
        pause_max: Duration::from_secs(30),
        pause_awaited_max: Duration::from_secs(4),
        ask_max: Duration::from_secs(60),
        fresh_within: Duration::from_secs(20),
    };

    /// How long to wait with the next question, after `barren` of them that
    /// brought nothing new; `None` for credentials that do not expire.
    fn wait(&self, expiry: Option<SystemTime>, now: SystemTime, barren: u32) -> Option<Duration> {
        let left = expiry?.duration_since(now).unwrap_or_default();
        if left.is_zero() {
            return Some(self.after(barren));
        }
        Some((left - (left / 2).min(self.margin_max)).max(self.pause_min))
    }

    /// The wait after `barren` questions that brought nothing new.
    fn after(&self, barren: u32) -> Duration {
        let factor = 1 << barren.saturating_sub(1).min(5);
        (self.pause_failed * factor).min(self.pause_max)
    }

    /// Asks, within the limit.
    pub(in crate::s3) async fn ask(
        &self,
        source: &dyn Source,
    ) -> Result<Credentials, CredentialsError> {
        let asked = tokio::time::timeout(self.ask_max, source.ask()).await;
        asked.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(self.ask_max)))
    }
}

/// Renews for ever; whoever starts it ends it.
pub(super) async fn renew(source: Arc<dyn Source>, shared: Arc<Shared>, cadence: Cadence) {
    let mut barren = 0;
    let mut refused_since: Option<Instant> = None;
    loop {
        match refused_since {
            Some(_) => {
                tokio::time::sleep(cadence.after(barren).min(cadence.pause_awaited_max)).await
            }
            None => turn(&shared, &cadence, barren).await,
        }
        if !shared.is_fresh() {
            refused_since.get_or_insert_with(Instant::now);
        }
        let answer = cadence.ask(&*source).await;
        if let Err(fault) = &answer {
            // The old ones stay: they may still be good, and a refusal says
            // more to the user than this does.
            tracing::info!(%fault, "cannot renew the credentials, trying again");
        }
        let answered = answer.is_ok();
        let replaced = answer.is_ok_and(|credentials| shared.replace(credentials));
        barren = if replaced { 0 } else { barren + 1 };
        let nothing_else = answered && !replaced && shared.expiry().is_none();
        let late = refused_since.is_some_and(|since| since.elapsed() >= cadence.fresh_within);
        if shared.is_fresh() {
            refused_since = None;
        } else if late || nothing_else {
            shared.stick();
            refused_since = None;
        }
    }
}

/// Waits until it is time to ask, or somebody was refused.
async fn turn(shared: &Shared, cadence: &Cadence, barren: u32) {
    let wait = cadence.wait(shared.expiry(), SystemTime::now(), barren);
    let earliest = Instant::now() + cadence.pause_min;
    let due = async {
        match wait {
            Some(wait) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
    };
    let refused = async {
        while !shared.is_wanted() {
            shared.asked.notified().await;
        }
        tokio::time::sleep_until(earliest).await;
    };
    tokio::select! {
        () = due => {}
        () = refused => {}
    }
}

impl Shared {
    fn expiry(&self) -> Option<SystemTime> {
        self.published().credentials.as_ref().and_then(|credentials| credentials.expiry())
    }

    /// Whether somebody was refused who may yet be helped.
    fn is_wanted(&self) -> bool {
        let published = self.published();
        let refused = self.refused.load(Ordering::Acquire);
        refused >= published.generation && published.stuck < published.generation
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Mutex;

    use super::super::{Asked, CredentialsSnapshot};
    use super::*;

    /// Answers in turn; the last answer stays.
    struct Scripted(Mutex<Vec<Result<&'static str, ()>>>, Option<Duration>);

    impl Source for Scripted {
        fn ask(&self) -> Asked<'_> {
            let mut script = self.0.lock().unwrap();
            let answer = if script.len() > 1 { script.remove(0) } else { script[0] };
            let life = self.1;
            Box::pin(async move {
                answer
                    .map(|id| named(id, life))
                    .map_err(|()| CredentialsError::provider_error("down"))
            })
        }
    }

    fn named(id: &str, life: Option<Duration>) -> Credentials {
        Credentials::new(id, "s", None, life.map(|life| SystemTime::now() + life), "test")
    }

    fn paced(
        cadence: Cadence,
        script: Vec<Result<&'static str, ()>>,
        life: Option<Duration>,
    ) -> CredentialsSnapshot {
        let source = Arc::new(Scripted(Mutex::new(script), life));
        CredentialsSnapshot::renewed_at(cadence, source, named("first", life))
    }

    fn snapshot(
        script: Vec<Result<&'static str, ()>>,
        life: Option<Duration>,
    ) -> CredentialsSnapshot {
        paced(FAST, script, life)
    }

    const FAST: Cadence = Cadence {
        margin_max: Duration::from_secs(300),
        pause_min: Duration::from_millis(1),
        pause_failed: Duration::from_millis(1),
        pause_max: Duration::from_millis(2),
        pause_awaited_max: Duration::from_millis(2),
        ask_max: Duration::from_secs(60),
        fresh_within: Duration::from_secs(60),
    };

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
    }

    fn id(snapshot: &CredentialsSnapshot) -> String {
        snapshot.current().credentials.unwrap().access_key_id().to_owned()
    }

    #[test]
    fn renewal_comes_before_expiry_and_never_in_a_loop() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let left = |ms: u64, barren| {
            let expiry = Some(now + Duration::from_millis(ms));
            Cadence::DEFAULT.wait(expiry, now, barren).unwrap().as_millis()
        };
        assert_eq!(left(3_600_000, 0), 3_300_000);
        assert_eq!(left(600_000, 0), 300_000);
        assert_eq!(left(60_000, 0), 30_000);
        assert_eq!(left(2_000, 0), 1_000);
        assert_eq!(left(400, 0), 500);
        assert_eq!(left(0, 0), 1_000);
        assert_eq!(left(0, 3), 4_000);
        assert_eq!(left(0, 99), 30_000);
        assert_eq!(Cadence::DEFAULT.wait(None, now, 0), None);
    }

    #[test]
    fn whoever_was_refused_gets_the_next_generation() {
        run(async {
            let snapshot = snapshot(vec![Ok("second")], Some(Duration::from_secs(3_600)));
            let refused = snapshot.current().generation;
            snapshot.refuse(refused);
            let (one, other) = tokio::join!(snapshot.fresh(), snapshot.clone().fresh());
            assert!(one && other);
            assert_eq!(id(&snapshot), "second");
            // Late news of the old generation asks nobody.
            snapshot.refuse(refused);
            assert!(snapshot.fresh().await);
        });
    }

    #[test]
    fn a_source_that_is_down_for_a_while_is_waited_for() {
        run(async {
            let script = vec![Err(()), Err(()), Ok("first"), Ok("second")];
            let snapshot = snapshot(script, Some(Duration::from_secs(3_600)));
            snapshot.refuse(snapshot.current().generation);
            assert!(snapshot.fresh().await);
            assert_eq!(id(&snapshot), "second");
        });
    }

    #[test]
    fn a_source_that_stays_down_is_given_up() {
        run(async {
            let cadence = Cadence { fresh_within: Duration::ZERO, ..FAST };
            let snapshot = paced(cadence, vec![Err(())], Some(Duration::from_secs(3_600)));
            snapshot.refuse(snapshot.current().generation);
            assert!(!snapshot.fresh().await);
            // Nobody waits twice for what is known not to come.
            snapshot.refuse(snapshot.current().generation);
            assert!(!snapshot.fresh().await);
        });
    }

    #[test]
    fn credentials_without_an_end_are_asked_for_once() {
        run(async {
            let snapshot = snapshot(vec![Ok("first"), Ok("never asked for")], None);
            snapshot.refuse(snapshot.current().generation);
            assert!(!snapshot.fresh().await);
            snapshot.refuse(snapshot.current().generation);
            assert!(!snapshot.fresh().await);
            assert_eq!(id(&snapshot), "first");
        });
    }

    #[test]
    fn fixed_and_anonymous_ones_have_nothing_fresh() {
        run(async {
            let fixed = CredentialsSnapshot::fixed("id", "s", None);
            assert!(fixed.fresh().await);
            fixed.refuse(fixed.current().generation);
            assert!(!fixed.fresh().await);
        });
    }

    #[test]
    fn the_renewal_ends_with_the_last_copy() {
        run(async {
            let snapshot = snapshot(vec![Ok("second")], Some(Duration::from_secs(3_600)));
            let copy = snapshot.clone();
            let shared = Arc::downgrade(&snapshot.shared);
            drop(snapshot);
            tokio::task::yield_now().await;
            assert!(shared.strong_count() > 1, "the renewal runs");
            drop(copy);
            tokio::task::yield_now().await;
            assert_eq!(shared.strong_count(), 0);
        });
    }
}
