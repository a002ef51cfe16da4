//! Downloads and uploads.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use osmo_engine::job::{IfExists, Select, StoreOptions};
use osmo_engine::report::JobEvent;
use osmo_engine::{DownloadJob, Error, ErrorKind, Job, JobHandle, Journaling, Report, UploadJob};

use super::rehearsal::Rehearsal;
use crate::benchmark::{self, Direction};
use crate::flags::{Common, Download, Transfer, Upload};
use crate::progress::Meter;
use crate::{interrupt, show};

/// How often the meter looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Events that wait to be printed; more are dropped, for the report counts
/// them all.
pub(super) const EVENTS_MAX: usize = 256;

/// What the engine tells the terminal.
pub(super) enum News {
    Event(JobEvent),
    Ended(Result<Report, Error>),
}

pub(super) fn download(flags: Download) -> Result<(), Error> {
    let Download { remote, local, resume, no_journal, on_change, transfer, common } = flags;
    let engine = super::start(&common)?;
    let (tell, news) = sync_channel(EVENTS_MAX);
    let (conduct, select) = Conduct::of(transfer);
    let job = DownloadJob {
        remote,
        local,
        select,
        resume,
        journal: if no_journal { Journaling::Without } else { Journaling::Kept },
        if_exists: conduct.if_exists,
        on_change: on_change.into(),
        require_verified: conduct.require_verified,
        dry_run: conduct.dry_run,
        limit_bytes_per_s: conduct.limit_bytes_per_s,
        store: StoreOptions { request_payer: common.request_payer, ..StoreOptions::default() },
        observer: Some(observer(tell.clone(), conduct.rehearsal(&common))),
        ..DownloadJob::default()
    };
    let handle = engine.submit(Job::Download(job));
    finish(handle, tell, &news, (&conduct, &common), Direction::Download)
}

pub(super) fn upload(flags: Upload) -> Result<(), Error> {
    let Upload { remote, local, sent, transfer, common } = flags;
    let checksum = sent.upload_checksum.into();
    let store = sent.options(common.request_payer)?;
    let engine = super::start_checking(&common, checksum)?;
    let (tell, news) = sync_channel(EVENTS_MAX);
    let (conduct, select) = Conduct::of(transfer);
    let job = UploadJob {
        remote,
        local,
        select,
        if_exists: conduct.if_exists,
        require_verified: conduct.require_verified,
        dry_run: conduct.dry_run,
        limit_bytes_per_s: conduct.limit_bytes_per_s,
        store,
        observer: Some(observer(tell.clone(), conduct.rehearsal(&common))),
        ..UploadJob::default()
    };
    let handle = engine.submit(Job::Upload(job));
    finish(handle, tell, &news, (&conduct, &common), Direction::Upload)
}

/// Tells `tell` of everything but a dry run's lines, which are its result and
/// are written at once.
pub(super) fn observer(
    tell: SyncSender<News>,
    rehearsal: Option<Rehearsal>,
) -> osmo_engine::job::Observer {
    std::sync::Arc::new(move |event| {
        if let (JobEvent::Would { action, key, bytes }, Some(rehearsal)) = (&event, &rehearsal) {
            return rehearsal.line(*action, key, *bytes);
        }
        // Called on an engine thread, which must not wait for a terminal.
        let _ = tell.try_send(News::Event(event));
    })
}

/// How a transfer is done, from its flags.
struct Conduct {
    if_exists: IfExists,
    require_verified: bool,
    dry_run: bool,
    limit_bytes_per_s: Option<u64>,
    benchmark_out: Option<PathBuf>,
}

impl Conduct {
    fn of(flags: Transfer) -> (Self, Select) {
        let conduct = Self {
            if_exists: flags.if_exists.into(),
            require_verified: flags.require_verified,
            dry_run: flags.dry_run,
            limit_bytes_per_s: flags.limit_rate.map(|bytes| bytes as u64),
            benchmark_out: flags.benchmark_out,
        };
        (conduct, flags.select.into())
    }

    fn rehearsal(&self, common: &Common) -> Option<Rehearsal> {
        self.dry_run.then(|| Rehearsal::new(common))
    }
}

fn finish(
    handle: JobHandle,
    tell: SyncSender<News>,
    news: &Receiver<News>,
    (flags, common): (&Conduct, &Common),
    direction: Direction,
) -> Result<(), Error> {
    let start_ms = benchmark::now_ms();
    let report = watch(handle, tell, news, common)?;
    conclude(&report, (flags, common), direction, start_ms)?;
    report.outcome().map(|_| ())
}

/// Shows a job until it ends.
pub(super) fn watch(
    handle: JobHandle,
    tell: SyncSender<News>,
    news: &Receiver<News>,
    common: &Common,
) -> Result<Report, Error> {
    interrupt::cancels(handle.canceller());
    let progress = handle.watcher();
    std::thread::Builder::new()
        .name("osmo-wait".into())
        .spawn(move || {
            // The terminal is gone only when the command is over.
            let _ = tell.send(News::Ended(handle.wait()));
        })
        .map_err(|error| Error::new(ErrorKind::Local, "cannot start a thread").because(error))?;
    let mut meter = Meter::new(common.quiet || common.json);
    let ended = loop {
        match news.recv_timeout(LOOK_EVERY) {
            Ok(News::Ended(ended)) => break ended,
            Ok(News::Event(event)) => tell_event(&meter, &event, common.quiet),
            Err(RecvTimeoutError::Timeout) => meter.show(progress()),
            Err(RecvTimeoutError::Disconnected) => {
                break Err(Error::new(ErrorKind::Internal, "the waiting thread has ended"));
            }
        }
    };
    meter.clear();
    ended
}

fn tell_event(meter: &Meter, event: &JobEvent, quiet: bool) {
    match event {
        JobEvent::Failed(failure) => {
            meter.line(&format!("failed: {}: {}", failure.name, failure.reason));
        }
        JobEvent::Retry { key, attempt, wait, reason } if !quiet => {
            let wait = wait.as_secs_f64();
            meter.line(&format!(
                "retry: {key}: attempt {attempt} failed, next in {wait:.1} s: {reason}"
            ));
        }
        JobEvent::Note(note) if !quiet => meter.line(&format!("note: {note}")),
        JobEvent::Retry { .. } | JobEvent::Note(_) | JobEvent::Would { .. } => {}
    }
}

fn conclude(
    report: &Report,
    (flags, common): (&Conduct, &Common),
    direction: Direction,
    start_ms: u64,
) -> Result<(), Error> {
    let local = |doing: &str, error: std::io::Error| {
        Error::new(ErrorKind::Local, format!("cannot {doing}")).because(error)
    };
    // A transfer of nothing is not measured.
    if let Some(folder) = flags.benchmark_out.as_ref().filter(|_| report.bytes > 0) {
        let written = benchmark::write(folder, direction, start_ms, report);
        written.map_err(|error| local(&shown(folder), error))?;
    }
    let mut out = std::io::stdout();
    if common.json {
        let text = serde_json::to_string(report).map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot print the report").because(error)
        })?;
        writeln!(out, "{text}").map_err(|error| local("print the report", error))?;
    } else if !common.quiet {
        let verb = match direction {
            Direction::Download => "downloaded",
            Direction::Upload => "uploaded",
        };
        let line =
            if flags.dry_run { show::rehearsal(verb, report) } else { show::summary(verb, report) };
        writeln!(out, "{line}").map_err(|error| local("print the report", error))?;
    }
    Ok(())
}

fn shown(folder: &Path) -> String {
    format!("write the benchmark file into {}", folder.display())
}
