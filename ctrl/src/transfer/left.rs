//! What did not make it: listed in the log, in a journal, and counted in the
//! termination message.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use osmo_engine::UploadLeft;
use osmo_engine::job::Select;
use osmo_engine::path::{Filter, Source};
use osmo_engine::units::bytes;
use osmo_engine::upload::walk::{Found, walk};
use osmo_protocol::exit::ExitCode;
use osmo_protocol::logger::LineType;
use serde::Serialize;

use super::{Order, Transfers};
use crate::lifecycle::Failure;

/// Files that the log names.
const SAID_MAX: u64 = 20;
/// Files that the journal names.
const JOURNAL_MAX: u64 = 100_000;
/// How long the tree may be looked at: the pod may have to go.
const LIMIT: Duration = Duration::from_secs(1);

/// One line of the journal for a file.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    url: String,
    path: &'a Path,
    bytes: u64,
    reason: &'a str,
}

/// One for an unfinished upload.
#[derive(Debug, Serialize)]
struct UploadEntry<'a> {
    bucket: &'a str,
    key: &'a str,
    upload_id: &'a str,
    reason: &'a str,
}

/// What was found.
#[derive(Debug, Default)]
struct Left {
    files: u64,
    bytes: u64,
    uploads: u64,
    /// The time was up before the tree was.
    is_more: bool,
    named: Vec<String>,
}

impl Transfers {
    /// Lists what of `orders` is not in the store because of `failure`; the
    /// failure, with the count.
    pub(super) async fn left_behind(&self, orders: Vec<Order>, failure: Failure) -> Failure {
        let is_cut = *self.cancelled.borrow();
        let reason = match is_cut {
            true => "the grace period was over (-gracePeriod)".to_owned(),
            false => failure.sentence.clone(),
        };
        let uploads = self.mover.uploads_left();
        let (sent, journal) = (std::sync::Arc::clone(&self.sent), self.journal.clone());
        let listed = tokio::task::spawn_blocking(move || {
            let mut list = List::open(journal.as_deref(), &reason);
            for order in &orders {
                list.order(order, &|file| !sent.has(&order.url, file));
            }
            uploads.iter().for_each(|upload| list.upload(upload));
            list.close()
        });
        let Ok((left, place)) = listed.await else { return failure };
        let Some(counted) = left.counted() else { return failure };
        for line in &left.named {
            self.log.say(LineType::Upload, line);
        }
        let listed = place.map(|place| format!(", listed in {}", place.display()));
        let told = format!("{counted}{}", listed.unwrap_or_default());
        if is_cut {
            let sentence = format!("{told}: the grace period was over (-gracePeriod)");
            return Failure::new(ExitCode::Upload, sentence);
        }
        Failure::new(failure.code, format!("{}; {told}", failure.sentence))
    }
}

impl Left {
    /// The count, as a clause.
    fn counted(&self) -> Option<String> {
        let more = if self.is_more { " or more" } else { "" };
        let files = (self.files > 0).then(|| {
            format!("{}{more} files ({}) were not uploaded", self.files, bytes(self.bytes))
        });
        let uploads = (self.uploads > 0)
            .then(|| format!("the store may keep {} unfinished uploads", self.uploads));
        let clauses: Vec<_> = files.into_iter().chain(uploads).collect();
        (!clauses.is_empty()).then(|| clauses.join(" and "))
    }
}

struct List<'a> {
    begin: Instant,
    reason: &'a str,
    journal: Option<(PathBuf, BufWriter<std::fs::File>)>,
    left: Left,
}

impl<'a> List<'a> {
    fn open(place: Option<&Path>, reason: &'a str) -> Self {
        let journal = place.and_then(|place| {
            let mut options = OpenOptions::new();
            let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
            options.append(true).create(true).mode(0o600).custom_flags(flags);
            let file = options.open(place).ok()?;
            Some((place.to_owned(), BufWriter::new(file)))
        });
        Self { begin: Instant::now(), reason, journal, left: Left::default() }
    }

    fn order(&mut self, order: &Order, is_left: &dyn Fn(&osmo_engine::LocalFile<'_>) -> bool) {
        let Ok(filter) = Filter::new(&Select::regex(order.regex.clone())) else { return };
        let source = Source::parse(&order.local.display().to_string());
        let _ = walk(&source, &filter, &mut |found| {
            if let Found::File { path, below, stamp } = found
                && is_left(&stamp.at(&path))
            {
                self.file(
                    &format!("{}/{below}", order.url.trim_end_matches('/')),
                    &path,
                    stamp.bytes,
                );
            }
            self.left.is_more |= self.begin.elapsed() > LIMIT;
            !self.left.is_more
        });
    }

    fn file(&mut self, url: &str, path: &Path, count: u64) {
        self.left.files += 1;
        self.left.bytes += count;
        if self.left.files <= SAID_MAX {
            let line = format!("Not uploaded: {} ({}) to {url}", path.display(), bytes(count));
            self.left.named.push(line);
        }
        if self.left.files > JOURNAL_MAX {
            return;
        }
        self.note(&Entry { url: url.to_owned(), path, bytes: count, reason: self.reason });
    }

    /// The engine's list has a limit of its own.
    fn upload(&mut self, upload: &UploadLeft) {
        let UploadLeft { bucket, key, upload_id } = upload;
        self.left.uploads += 1;
        if self.left.uploads <= SAID_MAX {
            self.left.named.push(format!(
                "Perhaps left in the store: the unfinished upload {upload_id} of {key} in the \
                 bucket {bucket}"
            ));
        }
        self.note(&UploadEntry { bucket, key, upload_id, reason: self.reason });
    }

    fn note(&mut self, entry: &impl Serialize) {
        let written = self.journal.as_mut().map(|(_, journal)| {
            serde_json::to_writer(&mut *journal, entry)
                .map_err(std::io::Error::from)
                .and_then(|()| journal.write_all(b"\n"))
        });
        if let Some(Err(_)) = written {
            self.journal = None;
        }
    }

    /// What was found, and where it is listed.
    fn close(self) -> (Left, Option<PathBuf>) {
        let mut left = self.left;
        if left.files > SAID_MAX {
            left.named.push(format!("Not uploaded: {} more files", left.files - SAID_MAX));
        }
        let place = self.journal.and_then(|(place, mut file)| file.flush().ok().map(|()| place));
        (left, place)
    }
}
