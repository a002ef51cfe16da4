//! The mover that is the engine; it starts with the first order, rests while the
//! command runs, and starts anew with the next one.

use std::sync::{Mutex, PoisonError};

use osmo_engine::config::Access;
use osmo_engine::job::Select;
use osmo_engine::{DownloadJob, Engine, EngineConfig, Job, JobEvent, Progress, UploadJob};
use osmo_protocol::events::Phase;
use osmo_protocol::logger::LineType;

use super::{Begun, Mover, Moving, Order};
use crate::flags::Flags;
use crate::logs::Log;

/// The engine, while it is needed.
pub(crate) struct EngineMover {
    config: EngineConfig,
    log: Log,
    engine: Mutex<Option<Engine>>,
    /// The last one's driver.
    driver: Mutex<&'static str>,
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
        Self { config, log, engine: Mutex::new(None), driver: Mutex::default() }
    }

    fn job(&self, order: &Order, resume: bool) -> Job {
        let (remote, select) = (order.url.clone(), Select::regex(order.regex.clone()));
        let access = Some(Access { config_file: order.config.clone(), ..Access::default() });
        let line = match order.phase {
            Phase::Download => LineType::Download,
            _ => LineType::Upload,
        };
        let log = self.log.clone();
        let observer: osmo_engine::job::Observer =
            std::sync::Arc::new(move |event| log.say(line, &told(&event)));
        let observer = Some(observer);
        match order.phase {
            Phase::Download => {
                let local = order.local.clone();
                Job::Download(DownloadJob {
                    remote,
                    local,
                    select,
                    resume,
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
    fn submit(&self, order: &Order, resume: bool) -> osmo_engine::Result<Begun> {
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
        let job = engine.submit(self.job(order, resume));
        let moving =
            EngineMoving { look: Box::new(job.watcher()), stop: Box::new(job.canceller()) };
        Ok((Box::new(moving), Box::pin(async move { job.finished().await?.outcome() })))
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
        let _ = std::thread::Builder::new().name("osmo-rest".to_owned()).spawn(move || {
            drop(engine);
            osmo_engine::mem::trim();
            osmo_engine::mem::release_code();
        });
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
