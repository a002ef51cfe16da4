//! The mover that is the engine; it starts with the first order, rests while the
//! command runs, and starts anew with the next one.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use osmo_engine::config::Access;
use osmo_engine::job::{Purpose, Select};
use osmo_engine::{
    CheckJob, DownloadJob, Engine, EngineConfig, Job, JobEvent, JobHandle, Progress, Unfinished,
    UploadJob, UploadLeft, UploadOrder,
};
use osmo_protocol::events::Phase;
use osmo_protocol::logger::LineType;

use super::{Begun, Checked, Mover, Moving, Order, Way};
use crate::flags::Flags;
use crate::logs::Log;

/// What uploads take beside the command, bytes a second.
const GENTLE_BYTES_PER_S: u64 = 64 << 20;

/// The engine, while it is needed.
pub(crate) struct EngineMover {
    config: EngineConfig,
    /// The command can write there and no further: what it makes a link to
    /// somewhere else, this container's secrets among them, stays here.
    within: Vec<PathBuf>,
    log: Log,
    engine: Mutex<Option<Engine>>,
    /// The last one's driver.
    driver: Mutex<&'static str>,
    /// Of the jobs that run, or left something.
    unfinished: Mutex<Vec<Unfinished>>,
    /// Buffers that those before it did not return.
    left: Arc<AtomicUsize>,
}

impl EngineMover {
    pub(crate) fn new(flags: &Flags, log: Log) -> Self {
        let config = EngineConfig {
            io: flags.io,
            memory_bytes: flags.memory_bytes,
            shards: None,
            access: Access::default(),
            ..EngineConfig::default()
        };
        let within = vec![flags.output_folder.clone(), flags.input_folder.clone()];
        Self {
            config,
            within,
            log,
            engine: Mutex::new(None),
            driver: Mutex::default(),
            unfinished: Mutex::default(),
            left: Arc::default(),
        }
    }

    /// Hands `job` to the engine, which starts with the first.
    fn hand_over(&self, job: Job) -> osmo_engine::Result<JobHandle> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = match &mut *engine {
            Some(engine) => engine,
            none => {
                let started = Engine::start(self.config.clone())?;
                let io = started.io();
                let text = format!("Transfers use {}: {}", io.driver, io.reason);
                self.log.say(LineType::OsmoCtrl, &text);
                self.log.meters().io_engine(io.driver, &io.reason);
                *self.driver.lock().unwrap_or_else(PoisonError::into_inner) = io.driver;
                none.insert(started)
            }
        };
        Ok(engine.submit(job))
    }

    fn job(&self, order: &Order, way: Way) -> Job {
        let (remote, select) = (order.url.clone(), Select::regex(order.regex.clone()));
        let access = Some(Access { config_file: order.config.clone(), ..Access::default() });
        let line = match order.phase {
            Phase::Download => LineType::Download,
            _ => LineType::Upload,
        };
        let log = self.log.clone();
        let observer: osmo_engine::job::Observer =
            Arc::new(move |event| log.say(line, &told(&event)));
        let observer = Some(observer);
        match order.phase {
            Phase::Download => {
                let local = order.local.clone();
                Job::Download(DownloadJob {
                    remote,
                    local,
                    select,
                    resume: way.resume,
                    access,
                    observer,
                    ..DownloadJob::default()
                })
            }
            _ => {
                let local = vec![order.local.clone()];
                Job::Upload(UploadJob {
                    remote,
                    local,
                    select,
                    within: self.within.clone(),
                    order: UploadOrder::SmallestFirst,
                    ledger: way.ledger,
                    limit_bytes_per_s: way.gentle.then_some(GENTLE_BYTES_PER_S),
                    access,
                    observer,
                    ..UploadJob::default()
                })
            }
        }
    }
}

/// An event of the engine, as a line.
fn told(event: &JobEvent) -> String {
    match event {
        JobEvent::Retry { key, attempt, wait, reason } => {
            let wait = wait.as_secs_f32();
            format!("Attempt {attempt} at {key} failed, next in {wait:.1} s: {reason}")
        }
        JobEvent::Failed(failure) => format!("{}: {}", failure.name, failure.reason),
        JobEvent::Note(note) => note.clone(),
        // The sidecar asks for no dry run.
        JobEvent::Would { action, key, .. } => format!("Would {action:?} {key}"),
    }
}

impl Mover for EngineMover {
    fn submit(&self, order: &Order, way: Way) -> osmo_engine::Result<Begun> {
        let job = self.hand_over(self.job(order, way))?;
        let mut unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        unfinished.retain(|uploads| !uploads.is_settled());
        unfinished.push(job.unfinished());
        let moving =
            EngineMoving { look: Box::new(job.watcher()), stop: Box::new(job.canceller()) };
        Ok((Box::new(moving), Box::pin(async move { job.finished().await?.outcome() })))
    }

    fn check(&self, url: &str, purpose: Purpose, config: Option<PathBuf>) -> Checked {
        let access = Some(Access { config_file: config, ..Access::default() });
        let purpose = Some(purpose);
        let job = CheckJob { remote: url.to_owned(), purpose, access, ..CheckJob::default() };
        let job = self.hand_over(Job::Check(job));
        Box::pin(async move { job?.finished().await?.outcome().map(|_| ()) })
    }

    fn uploads_left(&self) -> Vec<UploadLeft> {
        let unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        unfinished.iter().flat_map(Unfinished::left).collect()
    }

    fn driver(&self) -> String {
        (*self.driver.lock().unwrap_or_else(PoisonError::into_inner)).to_owned()
    }

    fn rest(&self) {
        if self.log.meters().transfers() > 0 {
            return;
        }
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Its threads end, its buffers and pools go; lines pass meanwhile. If no
        // thread can be had it happens here.
        let left = Arc::clone(&self.left);
        let _ = std::thread::Builder::new().name("osmo-rest".to_owned()).spawn(move || {
            left.fetch_add(engine.map_or(0, Engine::close), Relaxed);
            osmo_engine::mem::trim();
            osmo_engine::mem::release_code();
        });
    }

    fn end(&self) -> usize {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner).take();
        engine.map_or(0, Engine::close) + self.left.load(Relaxed)
    }
}

struct EngineMoving {
    look: Box<dyn Fn() -> Progress + Send + Sync>,
    stop: Box<dyn Fn() + Send + Sync>,
}

impl Moving for EngineMoving {
    fn progress(&self) -> Progress {
        (self.look)()
    }

    fn cancel(&self) {
        (self.stop)();
    }
}
