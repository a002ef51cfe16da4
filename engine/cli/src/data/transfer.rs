//! Downloads and uploads.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use osmo_engine::job::Select;
use osmo_engine::report::JobEvent;
use osmo_engine::{DownloadJob, Error, ErrorKind, Job, JobHandle, Report, UploadJob};

use crate::benchmark::{self, Direction};
use crate::flags::{Common, Download, Transfer, Upload};
use crate::progress::Meter;
use crate::{interrupt, show};

/// How often the meter looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Events that wait to be printed; more are dropped, for the report counts
/// them all.
const EVENTS_MAX: usize = 256;

/// What the engine tells the terminal.
enum News {
    Event(JobEvent),
    Ended(Result<Report, Error>),
}

pub(super) fn download(flags: Download) -> Result<(), Error> {
    let Download { remote, local, resume, mut transfer, common } = flags;
    let engine = super::start(&common)?;
    let (tell, news) = sync_channel(EVENTS_MAX);
    let job = DownloadJob {
        remote,
        local,
        select: Select::regex(transfer.regex.take()),
        resume,
        observer: Some(observer(tell.clone())),
        ..DownloadJob::default()
    };
    let handle = engine.submit(Job::Download(job));
    finish(handle, tell, &news, (&transfer, &common), Direction::Download)
}

pub(super) fn upload(flags: Upload) -> Result<(), Error> {
    let Upload { remote, local, mut transfer, common } = flags;
    let engine = super::start(&common)?;
    let (tell, news) = sync_channel(EVENTS_MAX);
    let job = UploadJob {
        remote,
        local,
        select: Select::regex(transfer.regex.take()),
        observer: Some(observer(tell.clone())),
        ..UploadJob::default()
    };
    let handle = engine.submit(Job::Upload(job));
    finish(handle, tell, &news, (&transfer, &common), Direction::Upload)
}

fn observer(tell: SyncSender<News>) -> osmo_engine::job::Observer {
    std::sync::Arc::new(move |event| {
        // Called on an engine thread, which must not wait for a terminal.
        let _ = tell.try_send(News::Event(event));
    })
}

fn finish(
    handle: JobHandle,
    tell: SyncSender<News>,
    news: &Receiver<News>,
    (flags, common): (&Transfer, &Common),
    direction: Direction,
) -> Result<(), Error> {
    let start_ms = benchmark::now_ms();
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
    let report = ended?;
    conclude(&report, (flags, common), direction, start_ms)?;
    report.outcome().map(|_| ())
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
        JobEvent::Retry { .. } | JobEvent::Note(_) => {}
    }
}

fn conclude(
    report: &Report,
    (flags, common): (&Transfer, &Common),
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
        let line = show::summary(verb, report);
        writeln!(out, "{line}").map_err(|error| local("print the report", error))?;
    }
    Ok(())
}

fn shown(folder: &Path) -> String {
    format!("write the benchmark file into {}", folder.display())
}
