//! Credentials as everybody who signs sees them: one value, replaced by the
//! control thread.
//!
//! ```text
//!   source (chain) ◄── asks ── renewal task ── publishes ──► generation N
//!                                  ▲                          │       │
//!                     asked        │                       shards   SDK
//!                     early        └──── N was refused ───────┴───────┘
//! ```
//!
//! There is one cache and one renewal, for object bytes and for control alike
//! (`docs/adr/0007-one-credential-snapshot.md`). Each replacement is a new
//! *generation*. Whoever is told by the store that its credentials have
//! expired says which generation that was (`refuse`) and waits for a newer one
//! (`fresh`); the source is asked once for all of them.
//!
//! Limits: see `Cadence`.

pub(super) mod ambient;
mod renew;

pub(super) use renew::Cadence;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError, future};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Answers with credentials each time it is asked; keeps none.
pub(super) trait Source: Send + Sync {
    /// Asks for credentials.
    fn ask(&self) -> Asked<'_>;
}

/// The answer of a [`Source`].
pub(super) type Asked<'a> =
    Pin<Box<dyn Future<Output = Result<Credentials, CredentialsError>> + Send + 'a>>;

/// Credentials of one generation; `None` inside means anonymous.
#[derive(Clone, Default)]
pub(super) struct Published {
    /// Grows with each replacement; never 0 where there is a source.
    pub(super) generation: u64,
    /// What to sign with.
    pub(super) credentials: Option<Arc<Credentials>>,
    /// The last generation that nothing newer came for in time.
    stuck: u64,
}

/// What copies and the renewal share.
struct Shared {
    published: RwLock<Published>,
    /// Told of each change: in the order of their waits, which `watch` does not
    /// keep, and a simulation must.
    turned: Notify,
    /// The last generation that a store refused.
    refused: AtomicU64,
    asked: Notify,
}

/// Ends the renewal with the last copy.
struct Renewal(AbortHandle);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A snapshot of credentials that the control thread replaces before they
/// expire; `None` inside means anonymous. Copies see the same replacement.
#[derive(Clone)]
pub struct CredentialsSnapshot {
    shared: Arc<Shared>,
    renewal: Option<Arc<Renewal>>,
}

impl CredentialsSnapshot {
    /// Requests go out unsigned.
    pub fn anonymous() -> Self {
        Self { shared: Arc::new(Shared::new(None)), renewal: None }
    }

    /// A key pair, with a session token where there is one.
    pub fn fixed(id: &str, secret: &str, session_token: Option<&str>) -> Self {
        Self::of(Credentials::new(id, secret, session_token.map(str::to_owned), None, "fixed"))
    }

    pub(super) fn of(credentials: Credentials) -> Self {
        Self { shared: Arc::new(Shared::new(Some(credentials))), renewal: None }
    }

    /// Credentials that `source` renews, by a task on the current runtime
    /// that ends with the last copy of the snapshot.
    pub(super) fn renewed_by(source: Arc<dyn Source>, first: Credentials) -> Self {
        Self::renewed_at(Cadence::DEFAULT, source, first)
    }

    fn renewed_at(cadence: Cadence, source: Arc<dyn Source>, first: Credentials) -> Self {
        let shared = Arc::new(Shared::new(Some(first)));
        let task = tokio::spawn(renew::renew(source, Arc::clone(&shared), cadence));
        Self { shared, renewal: Some(Arc::new(Renewal(task.abort_handle()))) }
    }

    /// The key pairs that `next` draws, one after the other, in a simulation.
    #[cfg(feature = "sim")]
    pub fn drawn(next: impl Fn() -> String + Send + Sync + 'static) -> Self {
        let keys = move || Credentials::new(next(), "secret", None, None, "simulated");
        let first = keys();
        Self::renewed_by(Arc::new(Drawn(keys)), first)
    }

    /// What to sign with now.
    pub(super) fn current(&self) -> Published {
        self.shared.published().clone()
    }

    /// Whether requests go out unsigned.
    pub(super) fn is_anonymous(&self) -> bool {
        self.shared.published().credentials.is_none()
    }

    /// Whether what is there has expired by `now`, as far as its source said.
    pub(super) fn expired(&self, now: SystemTime) -> bool {
        let published = self.shared.published();
        let expiry = published.credentials.as_ref().and_then(|credentials| credentials.expiry());
        expiry.is_some_and(|expiry| expiry <= now)
    }

    /// The store says that this generation is no longer valid. The source is
    /// asked for another one, unless there is one already.
    pub(super) fn refuse(&self, generation: u64) {
        self.shared.refused.fetch_max(generation, Ordering::AcqRel);
        self.shared.asked.notify_one();
    }

    /// Waits for a generation that no store has refused. Answers whether there
    /// is one; it is not when the source has nothing else to give, or fails
    /// for too long. Runs on any executor.
    pub(super) fn fresh(&self) -> impl Future<Output = bool> + use<> {
        let (shared, renewed) = (Arc::clone(&self.shared), self.renewal.is_some());
        async move {
            if !renewed {
                return shared.is_fresh();
            }
            loop {
                // Before the look, so that no change in between is missed.
                let turned = shared.turned.notified();
                let stuck = shared.published().stuck;
                if shared.is_fresh() {
                    return true;
                }
                if stuck >= shared.published().generation {
                    return false;
                }
                turned.await;
            }
        }
    }
}

#[cfg(feature = "sim")]
struct Drawn<F>(F);

#[cfg(feature = "sim")]
impl<F: Fn() -> Credentials + Send + Sync> Source for Drawn<F> {
    fn ask(&self) -> Asked<'_> {
        Box::pin(std::future::ready(Ok((self.0)())))
    }
}

impl Shared {
    fn new(first: Option<Credentials>) -> Self {
        let published =
            Published { generation: 1, credentials: first.map(Arc::new), ..Published::default() };
        Self {
            published: RwLock::new(published),
            turned: Notify::new(),
            refused: AtomicU64::new(0),
            asked: Notify::new(),
        }
    }

    // Each change is whole before anything can panic.
    fn published(&self) -> RwLockReadGuard<'_, Published> {
        self.published.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self) -> bool {
        self.published().generation > self.refused.load(Ordering::Acquire)
    }

    /// Publishes what the source gave; answers whether it is anything new.
    fn replace(&self, credentials: Credentials) -> bool {
        let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
        if published.credentials.as_deref().is_some_and(|old| same(old, &credentials)) {
            return false;
        }
        published.generation += 1;
        published.credentials = Some(Arc::new(credentials));
        drop(published);
        self.turned.notify_waiters();
        true
    }

    /// Nothing newer is to be had: whoever waits need not.
    fn stick(&self) {
        let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
        published.stuck = published.generation;
        drop(published);
        self.turned.notify_waiters();
    }
}

/// Whether a store would see no difference.
fn same(old: &Credentials, new: &Credentials) -> bool {
    old.access_key_id() == new.access_key_id()
        && old.secret_access_key() == new.secret_access_key()
        && old.session_token() == new.session_token()
}

impl fmt::Debug for CredentialsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let published = self.current();
        let id = published.credentials.as_ref().map(|c| c.access_key_id().to_owned());
        f.debug_struct("CredentialsSnapshot").field("access_key_id", &id).finish_non_exhaustive()
    }
}

/// The SDK signs with what everybody signs with.
impl ProvideCredentials for CredentialsSnapshot {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let credentials = self.current().credentials.ok_or_else(|| {
            CredentialsError::not_loaded("requests to this store are not to be signed")
        });
        future::ProvideCredentials::ready(credentials.map(|credentials| (*credentials).clone()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn copies_see_a_replacement_and_debug_shows_no_secret() {
        let snapshot = CredentialsSnapshot::fixed("old", "sesame", Some("token-sesame"));
        let copy = snapshot.clone();
        let new = Credentials::new("new", "sesame", None, None, "test");
        assert!(snapshot.shared.replace(new.clone()));
        assert!(!snapshot.shared.replace(new), "the same again is nothing new");
        assert_eq!(copy.current().credentials.unwrap().access_key_id(), "new");
        assert!(!format!("{copy:?}").contains("sesame"));
        assert!(CredentialsSnapshot::anonymous().is_anonymous());
    }
}
