//! Who is in: each task holds a seat until it is gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

/// Sessions at once.
pub(crate) const SESSIONS_MAX: u32 = 64;
/// Connections of sessions at once.
pub(crate) const DATA_MAX: u32 = 1_024;
/// Refused sessions whose pairs are being closed.
const REFUSALS_MAX: u32 = 8;
/// How long the last ones may take to end.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

/// Free seats, and the end of all.
pub(crate) struct Table {
    sessions: Arc<Semaphore>,
    data: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    over: watch::Sender<bool>,
}

impl Default for Table {
    fn default() -> Self {
        let seats = |count| Arc::new(Semaphore::new(count as usize));
        Self {
            sessions: seats(SESSIONS_MAX),
            data: seats(DATA_MAX),
            refusals: seats(REFUSALS_MAX),
            over: watch::Sender::new(false),
        }
    }
}

impl Table {
    /// Runs a session; false when there is no seat.
    pub(crate) fn session(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        self.spawn(&self.sessions, work)
    }

    /// Runs a connection of a session; false when there is no seat.
    pub(crate) fn data(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        self.spawn(&self.data, work)
    }

    /// Runs what turns somebody away; false when too many are.
    pub(crate) fn refusal(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        self.spawn(&self.refusals, work)
    }

    fn spawn(
        &self,
        seats: &Arc<Semaphore>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        let Ok(seat) = Arc::clone(seats).try_acquire_owned() else { return false };
        let mut over = self.over.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                () = work => {}
                _ = over.wait_for(|over| *over) => {}
            }
            drop(seat);
        });
        true
    }

    /// Tasks that live.
    pub(crate) fn count(&self) -> usize {
        let all = (SESSIONS_MAX + DATA_MAX + REFUSALS_MAX) as usize;
        let free = [&self.sessions, &self.data, &self.refusals];
        all - free.iter().map(|seats| seats.available_permits()).sum::<usize>()
    }

    /// Ends all; how many are left after the limit, if any.
    pub(crate) async fn shutdown(&self) -> Option<usize> {
        self.over.send_replace(true);
        let gone = async {
            let seats = [
                (&self.sessions, SESSIONS_MAX),
                (&self.data, DATA_MAX),
                (&self.refusals, REFUSALS_MAX),
            ];
            for (seats, max) in seats {
                let _ = seats.acquire_many(max).await;
            }
        };
        let left = timeout(SHUTDOWN_LIMIT, gone).await.is_err().then(|| self.count());
        for seats in [&self.sessions, &self.data, &self.refusals] {
            seats.close();
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::{DATA_MAX, SESSIONS_MAX, Table};

    #[tokio::test]
    async fn a_full_table_refuses_and_an_ended_one_is_empty() {
        let table = Table::default();
        for _ in 0..SESSIONS_MAX {
            assert!(table.session(pending()));
        }
        for _ in 0..DATA_MAX {
            assert!(table.data(pending()));
        }
        assert!(!table.session(pending()));
        assert!(!table.data(pending()));
        assert_eq!(table.count(), (SESSIONS_MAX + DATA_MAX) as usize);
        assert_eq!(table.shutdown().await, None);
        assert_eq!(table.count(), 0);
        assert!(!table.session(pending()), "nothing begins after the end");
    }

    #[tokio::test]
    async fn a_seat_is_free_again_once_its_task_is_gone() {
        let table = Table::default();
        for _ in 0..10 * SESSIONS_MAX {
            while !table.session(async {}) {
                tokio::task::yield_now().await;
            }
        }
        while table.count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
