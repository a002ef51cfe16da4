//! Listings.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use osmo_engine::job::StoreOptions;
use osmo_engine::{Error, ErrorKind, Job, ListJob, ListedObject};

use crate::flags::List;
use crate::interrupt;

/// One line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    key: &'a str,
    bytes: u64,
    etag: Option<&'a str>,
    modified_s: Option<i64>,
}

/// The lines, their number and the first failure to write one.
struct Lines {
    out: Box<dyn Write + Send>,
    json: bool,
    count: u64,
    failed: Option<io::Error>,
}

impl Lines {
    fn add(&mut self, object: &ListedObject) {
        self.count += 1;
        if self.failed.is_none()
            && let Err(error) = self.write(object)
        {
            self.failed = Some(error);
        }
    }

    fn write(&mut self, object: &ListedObject) -> io::Result<()> {
        if !self.json {
            return writeln!(self.out, "{}", object.key);
        }
        let ListedObject { key, bytes, etag, modified_s } = object;
        let (bytes, modified_s) = (*bytes, *modified_s);
        serde_json::to_writer(
            &mut self.out,
            &Line { key, bytes, etag: etag.as_deref(), modified_s },
        )?;
        writeln!(self.out)
    }

    /// The count follows the keys on a terminal; in a file, or for a machine,
    /// it would be taken for one of them.
    fn end(&mut self, total: bool) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if total {
            writeln!(self.out, "\nTotal {} objects found", self.count)?;
        }
        self.out.flush()
    }
}

fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn run(flags: List) -> Result<(), Error> {
    let failed =
        |error: io::Error| Error::new(ErrorKind::Local, "cannot write the listing").because(error);
    let remote = match &flags.prefix {
        Some(prefix) => {
            format!("{}/{}", flags.remote.trim_end_matches('/'), prefix.trim_start_matches('/'))
        }
        None => flags.remote,
    };
    let out: Box<dyn Write + Send> = match &flags.local {
        Some(path) => Box::new(BufWriter::new(File::create(path).map_err(failed)?)),
        None => Box::new(BufWriter::new(io::stdout())),
    };
    let json = flags.common.json;
    let lines = Arc::new(Mutex::new(Lines { out, json, count: 0, failed: None }));
    let into = Arc::clone(&lines);
    let engine = super::start(&flags.common)?;
    let handle = engine.submit(Job::List(ListJob {
        remote,
        select: flags.select.into(),
        recursive: flags.recursive,
        store: StoreOptions { request_payer: flags.common.request_payer, ..Default::default() },
        access: None,
        each: Arc::new(move |object: ListedObject| lock(&into).add(&object)),
    }));
    interrupt::cancels(handle.canceller());
    let ended = handle.wait();
    let complete = ended.is_ok() && flags.local.is_none() && !json;
    let written = lock(&lines).end(complete);
    ended?;
    match written {
        // `osmo data list … | head`: the reader has what it wanted.
        Err(error) if flags.local.is_none() && error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(failed),
    }
}
