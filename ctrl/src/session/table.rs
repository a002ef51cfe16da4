//! Who is in: each task holds a seat until it is gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

/// Sessions at once.
pub(crate) const SESSIONS_MAX: u32 = 64;
/// Connections of sessions at once.
pub(crate) const DATA_MAX: u32 = 1_024;
/// Connections that wait for a place to dial in.
const WAITING_MAX: u32 = 1_024;
/// Refused users whose pairs are being closed, or are to be.
pub(crate) const REFUSALS_MAX: u32 = 1_024;
/// Those whose pairs are dialled for it at once.
const REFUSING_MAX: u32 = 64;
/// How long one of them may take, so that nobody waits long behind a router that
/// answers nobody.
const REFUSING_LIMIT: Duration = Duration::from_secs(3);
/// How long a refused user waits: the router sends the pair home then.
const REFUSAL_LIMIT: Duration = Duration::from_secs(60);
// Everybody has a turn before that.
const _: () = assert!(
    REFUSALS_MAX.div_ceil(REFUSING_MAX) as u64 * REFUSING_LIMIT.as_secs()
        <= REFUSAL_LIMIT.as_secs()
);
/// How long the last ones may take to end.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

/// Free seats, and the end of all.
pub(crate) struct Table {
    sessions: Arc<Semaphore>,
    data: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    refusing: Arc<Semaphore>,
    over: watch::Sender<bool>,
}

impl Default for Table {
    fn default() -> Self {
        let seats = |count| Arc::new(Semaphore::new(count as usize));
        Self {
            sessions: seats(SESSIONS_MAX),
            data: seats(DATA_MAX),
            waiting: seats(WAITING_MAX),
            refusals: seats(REFUSALS_MAX),
            refusing: seats(REFUSING_MAX),
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

    /// Runs what waits to be a connection; false when too many do.
    pub(crate) fn waiting(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        self.spawn(&self.waiting, work)
    }

    /// Runs what turns somebody away, some at a time; false when too many wait.
    pub(crate) fn refusal(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        let refusing = Arc::clone(&self.refusing);
        self.spawn(&self.refusals, async move {
            let _turn = refusing.acquire().await;
            let _ = timeout(REFUSING_LIMIT, work).await;
        })
    }

    /// Whether nothing begins any more.
    pub(crate) fn is_over(&self) -> bool {
        *self.over.borrow()
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
        let taken = |(seats, max): (&Arc<Semaphore>, u32)| max as usize - seats.available_permits();
        self.all().into_iter().map(taken).sum()
    }

    /// Ends all; how many are left after the limit, if any.
    pub(crate) async fn shutdown(&self) -> Option<usize> {
        self.over.send_replace(true);
        let gone = async {
            for (seats, max) in self.all() {
                let _ = seats.acquire_many(max).await;
            }
        };
        let left = timeout(SHUTDOWN_LIMIT, gone).await.is_err().then(|| self.count());
        for (seats, _) in self.all() {
            seats.close();
        }
        left
    }

    /// Each kind of seat, and how many there are.
    fn all(&self) -> [(&Arc<Semaphore>, u32); 4] {
        [
            (&self.sessions, SESSIONS_MAX),
            (&self.data, DATA_MAX),
            (&self.waiting, WAITING_MAX),
            (&self.refusals, REFUSALS_MAX),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::{DATA_MAX, REFUSALS_MAX, SESSIONS_MAX, Table};

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

    /// Most of them are behind a router that answers nobody.
    #[tokio::test(start_paused = true)]
    async fn whoever_is_refused_has_a_turn_in_time() {
        let table = Table::default();
        let turns = Arc::new(AtomicU32::new(0));
        let refuse = || {
            let turns = Arc::clone(&turns);
            table.refusal(async move {
                turns.fetch_add(1, Relaxed);
                pending().await
            })
        };
        let begin = Instant::now();
        for _ in 0..REFUSALS_MAX {
            assert!(refuse());
        }
        assert!(!refuse(), "so many and no more");
        while turns.load(Relaxed) < REFUSALS_MAX {
            sleep(Duration::from_millis(100)).await;
        }
        // The time is the test's own. The router waits a minute for the pair.
        assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
        while table.count() > 0 {
            sleep(Duration::from_millis(100)).await;
        }
        assert!(refuse(), "there is room again");
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
