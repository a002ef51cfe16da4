//! The output folder while the command runs: what is in it, told at a
//! decreasing rate; and, where asked for, uploaded as soon as it stands still.
//!
//! ```text
//!   walk ── files, bytes, newest ──► event, line
//!     │ same state in two walks, not in the store
//!     ▼
//!   one gentle upload at a time ──► Sent ──► the sweep at the end leaves it out
//! ```
//!
//! A walk is followed by a pause of at least 10 s and of a hundred times its
//! length, so that a tree of a million files costs no more than 1 % of a core.
//! What was sent too early is sent again by the sweep: its state differs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use osmo_engine::job::Select;
use osmo_engine::path::{Filter, Source};
use osmo_engine::units::bytes;
use osmo_engine::upload::walk::{Found, walk};
use osmo_protocol::events::SidecarEvent;
use osmo_protocol::items::{Output, Owner};
use osmo_protocol::logger::LineType;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::ledger::States;
use super::{Order, Transfers, Way, plan};

/// The shortest pause between two walks.
const PAUSE_MIN: Duration = Duration::from_secs(10);
/// A walk's share of the time, as one in so many.
const SHARE: u32 = 100;
/// When a line is told, since the start; then every `LINE_EVERY`.
const LINES: [Duration; 4] = [
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
];
const LINE_EVERY: Duration = Duration::from_secs(600);

/// What one walk found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    files: u64,
    bytes: u64,
    newest: String,
    newest_at: (i64, i64),
    states: States,
    /// Files that were the same in the walk before, and are not in the store.
    ready: u64,
}

impl Survey {
    fn is_same(&self, other: &Self) -> bool {
        let key = |survey: &Self| (survey.files, survey.bytes, survey.newest_at);
        key(self) == key(other)
    }

    fn words(&self) -> String {
        let newest = match self.newest.as_str() {
            "" => String::new(),
            newest => format!(", newest {newest}"),
        };
        format!("Output folder: {} files, {}{newest}", self.files, bytes(self.bytes))
    }
}

/// What went up before the end.
#[derive(Debug)]
pub(crate) struct Early {
    pub(crate) url: String,
    pub(crate) bytes: u64,
    pub(crate) files: u64,
}

/// The watch, until it is called off.
pub(crate) struct Watch {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Vec<Early>>,
}

impl Watch {
    /// Begins to watch; `outputs` go up early where the flags say so.
    pub(crate) fn begin(transfers: Transfers, outputs: &[Output]) -> Self {
        let outputs: Vec<Output> = match transfers.flags.upload_early {
            true => outputs.iter().filter(|one| one.owner() != Owner::Kpi).cloned().collect(),
            false => Vec::new(),
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(Watching::new(transfers, outputs).run(stopped));
        Self { stop, task }
    }

    /// Ends it; no early upload is under way any more when this returns, so
    /// that none overtakes the sweep.
    pub(crate) async fn end(self) -> Vec<Early> {
        let _ = self.stop.send(());
        self.task.await.unwrap_or_default()
    }
}

struct Watching {
    transfers: Transfers,
    outputs: Vec<Output>,
    begin: Instant,
    lines: u32,
    last: Survey,
    told: Survey,
    early: Vec<Early>,
}

impl Watching {
    fn new(transfers: Transfers, outputs: Vec<Output>) -> Self {
        Self {
            transfers,
            outputs,
            begin: Instant::now(),
            lines: 0,
            last: Survey::default(),
            told: Survey::default(),
            early: Vec::new(),
        }
    }

    async fn run(mut self, mut stopped: oneshot::Receiver<()>) -> Vec<Early> {
        let mut pause = PAUSE_MIN;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = &mut stopped => return self.early,
            }
            let begin = Instant::now();
            self.look().await;
            pause = PAUSE_MIN.max(begin.elapsed() * SHARE);
            if self.last.ready > 0 && !self.upload(&mut stopped).await {
                return self.early;
            }
        }
    }

    /// One walk, and what is told of it.
    async fn look(&mut self) {
        let folder = self.transfers.flags.output_folder.join("*").display().to_string();
        let before = std::mem::take(&mut self.last);
        let urls: Vec<String> = self.outputs.iter().map(|one| one.url().to_owned()).collect();
        let sent = Arc::clone(&self.transfers.sent);
        let walked = tokio::task::spawn_blocking(move || {
            let found = survey(&folder, !urls.is_empty(), &|file| {
                before.states.has(file) && urls.iter().any(|url| !sent.has(url, file))
            });
            (before, found)
        });
        let Ok((before, found)) = walked.await else { return };
        if !found.is_same(&before) {
            self.transfers.log.console().event(&SidecarEvent::Outputs {
                files: found.files,
                bytes: found.bytes,
                newest: found.newest.clone(),
            });
        }
        if self.begin.elapsed() >= due(self.lines) && !found.is_same(&self.told) {
            while self.begin.elapsed() >= due(self.lines) {
                self.lines += 1;
            }
            self.transfers.log.say(LineType::OsmoCtrl, &found.words());
            let (newest, newest_at) = (found.newest.clone(), found.newest_at);
            let (files, bytes) = (found.files, found.bytes);
            self.told = Survey { files, bytes, newest, newest_at, ..Survey::default() };
        }
        self.last = found;
    }

    /// Uploads what stood still, one output at a time; whether to go on.
    async fn upload(&mut self, stopped: &mut oneshot::Receiver<()>) -> bool {
        let mut goes_on = true;
        let states = Arc::new(std::mem::take(&mut self.last.states));
        for output in self.outputs.clone() {
            let Ok(order) = plan::upload(&self.transfers.flags, &output) else { continue };
            goes_on = self.one(&order, &states, stopped).await;
            if !goes_on {
                break;
            }
        }
        // Nobody holds it any more once the job has ended.
        self.last.states = Arc::into_inner(states).unwrap_or_default();
        goes_on
    }

    /// Whether to go on.
    async fn one(
        &mut self,
        order: &Order,
        states: &Arc<States>,
        stopped: &mut oneshot::Receiver<()>,
    ) -> bool {
        let ledger = Some(self.transfers.sent.early(&order.url, Arc::clone(states)));
        let way = Way { ledger, gentle: true, ..Way::default() };
        let Ok((moving, mut finished)) = self.transfers.mover.submit(order, way) else {
            return true;
        };
        let mut goes_on = true;
        let ended = tokio::select! {
            ended = &mut finished => ended,
            _ = &mut *stopped => {
                goes_on = false;
                moving.cancel();
                finished.await
            }
        };
        // What fails here is tried again by the sweep, and told then.
        let (bytes, files) = match ended {
            Ok(report) => (report.bytes, report.files),
            Err(_) => (moving.progress().bytes_done, moving.progress().files_done),
        };
        match self.early.iter_mut().find(|early| early.url == order.url) {
            Some(early) => (early.bytes, early.files) = (early.bytes + bytes, early.files + files),
            None => self.early.push(Early { url: order.url.clone(), bytes, files }),
        }
        goes_on
    }
}

/// When line `number` is due, since the start.
fn due(number: u32) -> Duration {
    match LINES.get(number as usize) {
        Some(due) => *due,
        None => LINES[3] + LINE_EVERY * (number - 3),
    }
}

/// Walks `folder`; the states are kept where somebody asks for them.
fn survey(
    folder: &str,
    keeps: bool,
    is_ready: &dyn Fn(&osmo_engine::LocalFile<'_>) -> bool,
) -> Survey {
    let mut survey = Survey::default();
    let Ok(filter) = Filter::new(&Select::default()) else { return survey };
    let _ = walk(&Source::parse(folder), &filter, &mut |found| {
        let Found::File { path, below, stamp } = found else { return true };
        let file = stamp.at(&path);
        survey.files += 1;
        survey.bytes += file.bytes;
        if file.modified > survey.newest_at {
            (survey.newest, survey.newest_at) = (below, file.modified);
        }
        if keeps {
            survey.ready += u64::from(is_ready(&file));
            survey.states.note(&file);
        }
        true
    });
    survey
}
