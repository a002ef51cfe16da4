//! What the sidecar can ask of the agent, for everybody who asks.
//!
//! [`Agent`] asks, [`Answers`] is the connection's side of the same table: who
//! waits for which terminal and which port. An asker that gives up leaves no
//! entry behind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use osmo_protocol::socket::Frame;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

pub(crate) use super::terminal::Terminal;

/// How long a connection that the agent made may take to be greeted.
const GREETING: Duration = Duration::from_secs(1);
/// How long the agent may think about a port.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// How long an agent is not asked that has not answered: it may know no probes,
/// or have been held up.
const PROBE_REST: Duration = Duration::from_secs(60);

/// Where a daemon listens whose agent names no port.
const RSYNC_PORT: u16 = 16_000;

/// Why there is no answer, for people.
#[derive(Debug)]
pub(crate) struct NoAnswer(pub(crate) String);

/// The agent; clones share it. Before it is connected, nothing is answered.
#[derive(Clone)]
pub(crate) struct Agent {
    /// Weak: the connection ends once the driver gives no more orders.
    orders: mpsc::WeakSender<Frame>,
    waiting: Waiting,
    terminal_limit: Duration,
}

/// Where the connection puts what the agent answered.
#[derive(Debug)]
pub(crate) struct Answers(Waiting);

#[derive(Clone, Debug, Default)]
struct Waiting(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// The daemon's port, while it runs.
    rsync: Option<u16>,
    next_session: u64,
    terminals: HashMap<u64, Asker>,
    ports: HashMap<u16, Vec<oneshot::Sender<bool>>>,
    /// It has left a probe unanswered; it is asked again from then on.
    probes_rest: Option<Instant>,
}

/// Who waits for a terminal.
#[derive(Debug)]
struct Asker {
    terminal: oneshot::Sender<Terminal>,
    /// Takes the agent's word that it is over.
    end: Option<oneshot::Sender<()>>,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Agent {
    /// `terminal_limit` bounds the wait for a terminal's connection.
    pub(crate) fn new(orders: &mpsc::Sender<Frame>, terminal_limit: Duration) -> (Self, Answers) {
        let waiting = Waiting::default();
        let agent = Self { orders: orders.downgrade(), waiting: waiting.clone(), terminal_limit };
        (agent, Answers(waiting))
    }

    /// Sends `frame` once there is room.
    async fn order_patiently(&self, frame: Frame) -> Result<(), NoAnswer> {
        let gone = || NoAnswer("the task is over".to_owned());
        let orders = self.orders.upgrade().ok_or_else(gone)?;
        orders.send(frame).await.map_err(|_| gone())
    }

    /// A terminal that runs `command`: raw bytes both ways.
    pub(crate) async fn terminal(&self, command: &str) -> Result<Terminal, NoAnswer> {
        let (terminal, mut receiver) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let asker = Asker { terminal, end: Some(end) };
        let session = {
            let mut table = self.waiting.lock();
            table.next_session += 1;
            let session = table.next_session;
            table.terminals.insert(session, asker);
            session
        };
        let _leave = Leave { waiting: &self.waiting, session };
        let limit = self.terminal_limit;
        let asked = async {
            let command = command.to_owned();
            self.order_patiently(Frame::UserExecStart { command, session: Some(session) }).await?;
            let none = || NoAnswer("the task opened no terminal".to_owned());
            tokio::select! {
                terminal = &mut receiver => terminal.map_err(|_| none()),
                // Its connection may be here and not greeted yet.
                Ok(()) = ended => match timeout(GREETING, receiver).await {
                    Ok(Ok(terminal)) => Ok(terminal),
                    _ => Err(none()),
                },
            }
        };
        timeout(limit, asked).await.unwrap_or_else(|_| {
            let seconds = limit.as_secs();
            Err(NoAnswer(format!("the task opened no terminal within {seconds} s (-execTimeout)")))
        })
    }

    /// Whether somebody listens at `port`. An agent that does not answer leaves
    /// it to be found out.
    pub(crate) async fn probe(&self, port: u16) -> Result<(), NoAnswer> {
        let (sender, receiver) = oneshot::channel();
        let is_first = {
            let mut table = self.waiting.lock();
            if table.probes_rest.is_some_and(|end| Instant::now() < end) {
                return Ok(());
            }
            let askers = table.ports.entry(port).or_default();
            askers.push(sender);
            askers.len() == 1
        };
        let asked = async {
            if is_first {
                // A task of its own: the others wait for it as well.
                let agent = self.clone();
                tokio::spawn(
                    async move { agent.order_patiently(Frame::PortForward { port }).await },
                );
            }
            receiver.await.ok()
        };
        match timeout(PROBE_LIMIT, asked).await {
            Ok(Some(false)) => Err(NoAnswer(format!("nobody listens at port {port}"))),
            Ok(_) => Ok(()),
            Err(_) => {
                let mut table = self.waiting.lock();
                table.ports.remove(&port);
                table.probes_rest = Some(Instant::now() + PROBE_REST);
                Ok(())
            }
        }
    }

    /// The port of the rsync daemon, while it runs.
    pub(crate) fn rsync(&self) -> Option<u16> {
        self.waiting.lock().rsync
    }

    /// So many more lines of the agent need not be kept.
    pub(crate) async fn stored(&self, lines: u64) {
        let _ = self.order_patiently(Frame::LinesStored { lines }).await;
    }
}

/// Takes a terminal off the table when its asker is gone.
struct Leave<'a> {
    waiting: &'a Waiting,
    session: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.waiting.lock().terminals.remove(&self.session);
    }
}

impl Answers {
    pub(super) fn rsync(&self, runs: bool, port: u16) {
        let port = if port == 0 { RSYNC_PORT } else { port };
        self.0.lock().rsync = runs.then_some(port);
    }

    /// Hands the connection to whoever waits for it; else it is closed.
    pub(super) fn terminal(&self, session: u64, terminal: Terminal) {
        if let Some(asker) = self.0.lock().terminals.remove(&session) {
            let _ = asker.terminal.send(terminal);
        }
    }

    /// Tells whoever still waits for that terminal that it is over.
    pub(super) fn terminal_ended(&self, session: u64) {
        let mut table = self.0.lock();
        let end = table.terminals.get_mut(&session).and_then(|asker| asker.end.take());
        if let Some(end) = end {
            let _ = end.send(());
        }
    }

    pub(super) fn port(&self, port: u16, ready: bool) {
        let mut table = self.0.lock();
        table.probes_rest = None;
        for asker in table.ports.remove(&port).unwrap_or_default() {
            let _ = asker.send(ready);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use osmo_protocol::socket::Frame;
    use tokio::sync::mpsc;
    use tokio::time::{advance, timeout};

    use super::{Agent, PROBE_REST};

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_is_slow_hears_which_lines_are_stored() {
        let (orders, mut heard) = mpsc::channel(1);
        let (agent, _answers) = Agent::new(&orders, Duration::from_secs(1));
        orders.send(Frame::PortForward { port: 80 }).await.unwrap();
        let telling = tokio::spawn(async move { agent.stored(7).await });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(heard.recv().await, Some(Frame::PortForward { port: 80 }));
        let told = timeout(Duration::from_secs(1), heard.recv()).await;
        assert_eq!(told, Ok(Some(Frame::LinesStored { lines: 7 })));
        telling.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_was_held_up_once_is_asked_again() {
        let (orders, mut heard) = mpsc::channel(8);
        let (agent, answers) = Agent::new(&orders, Duration::from_secs(1));
        agent.probe(80).await.unwrap();
        assert_eq!(heard.recv().await, Some(Frame::PortForward { port: 80 }));
        agent.probe(80).await.unwrap();
        assert!(heard.try_recv().is_err(), "it rests");
        advance(PROBE_REST).await;
        let asking = tokio::spawn({
            let agent = agent.clone();
            async move { agent.probe(81).await }
        });
        let asked = timeout(Duration::from_secs(1), heard.recv()).await;
        assert_eq!(asked, Ok(Some(Frame::PortForward { port: 81 })));
        answers.port(81, false);
        assert!(asking.await.unwrap().is_err(), "its word counts again");
    }
}
