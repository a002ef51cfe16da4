//! Credentials as shards see them: a value that the control thread replaces.

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use tokio::task::AbortHandle;

/// Fresh credentials are fetched this long before the old ones expire.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// The least wait between two fetches, so that a provider that hands out
/// nearly expired credentials is not asked in a loop.
const RENEW_PAUSE: Duration = Duration::from_secs(30);

/// A snapshot of credentials that the control thread replaces before they
/// expire; `None` inside means anonymous. Copies see the same replacement.
#[derive(Clone)]
pub struct CredentialsSnapshot {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    current: RwLock<Option<Arc<Credentials>>>,
    renewal: OnceLock<AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(renewal) = self.renewal.get() {
            renewal.abort();
        }
    }
}

impl CredentialsSnapshot {
    /// Requests go out unsigned.
    pub fn anonymous() -> Self {
        Self { inner: Arc::default() }
    }

    /// A key pair, with a session token where there is one.
    pub fn fixed(id: &str, secret: &str, session_token: Option<&str>) -> Self {
        Self::of(Credentials::new(id, secret, session_token.map(str::to_owned), None, "fixed"))
    }

    pub(super) fn of(credentials: Credentials) -> Self {
        let snapshot = Self::anonymous();
        snapshot.inner.replace(credentials);
        snapshot
    }

    /// Credentials that `provider` renews, by a task on the current runtime
    /// that ends with the last copy of the snapshot.
    pub(super) fn renewed_by(provider: SharedCredentialsProvider, first: Credentials) -> Self {
        let expiry = first.expiry();
        let snapshot = Self::of(first);
        if let Some(expiry) = expiry {
            let task = tokio::spawn(renew(provider, Arc::downgrade(&snapshot.inner), expiry));
            let _ = snapshot.inner.renewal.set(task.abort_handle());
        }
        snapshot
    }

    /// What to sign with now.
    pub(super) fn current(&self) -> Option<Arc<Credentials>> {
        self.inner.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Inner {
    fn replace(&self, credentials: Credentials) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Some(Arc::new(credentials));
    }
}

impl fmt::Debug for CredentialsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.current().map(|c| c.access_key_id().to_owned());
        f.debug_struct("CredentialsSnapshot").field("access_key_id", &id).finish_non_exhaustive()
    }
}

async fn renew(provider: SharedCredentialsProvider, inner: Weak<Inner>, mut expiry: SystemTime) {
    loop {
        tokio::time::sleep(renewal_wait(expiry, SystemTime::now())).await;
        let fetched = provider.provide_credentials().await;
        let Some(inner) = inner.upgrade() else { return };
        match fetched {
            Ok(credentials) => {
                let next = credentials.expiry();
                inner.replace(credentials);
                let Some(next) = next else { return };
                expiry = next;
            }
            // The old ones stay: they may still be good, and a refusal says
            // more to the user than this does.
            Err(fault) => tracing::info!(%fault, "cannot renew the credentials, trying again"),
        }
    }
}

fn renewal_wait(expiry: SystemTime, now: SystemTime) -> Duration {
    let left = expiry.duration_since(now).unwrap_or_default();
    left.saturating_sub(RENEW_BEFORE).max(RENEW_PAUSE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn renewal_comes_before_expiry_and_never_in_a_loop() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let wait = |left: u64| renewal_wait(now + Duration::from_secs(left), now).as_secs();
        assert_eq!(wait(3_600), 3_300);
        assert_eq!(wait(301), 30);
        assert_eq!(wait(0), 30);
        assert_eq!(renewal_wait(now - Duration::from_secs(9), now).as_secs(), 30);
    }

    #[test]
    fn the_renewal_ends_with_the_last_copy() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let expiry = SystemTime::now() + Duration::from_secs(3_600);
            let first = Credentials::new("id", "secret", None, Some(expiry), "test");
            let provider = SharedCredentialsProvider::new(first.clone());
            let snapshot = CredentialsSnapshot::renewed_by(provider, first);
            let copy = snapshot.clone();
            let renewal = snapshot.inner.renewal.get().unwrap().clone();
            drop(snapshot);
            tokio::task::yield_now().await;
            assert!(!renewal.is_finished());
            drop(copy);
            tokio::task::yield_now().await;
            assert!(renewal.is_finished());
        });
    }

    #[test]
    fn copies_see_a_replacement_and_debug_shows_no_secret() {
        let snapshot = CredentialsSnapshot::fixed("old", "sesame", Some("token-sesame"));
        let copy = snapshot.clone();
        snapshot.inner.replace(Credentials::new("new", "sesame", None, None, "test"));
        assert_eq!(copy.current().unwrap().access_key_id(), "new");
        assert!(!format!("{copy:?}").contains("sesame"));
        assert!(CredentialsSnapshot::anonymous().current().is_none());
    }
}
