//! NVML, looked for until it is there and has counted its GPUs.
//!
//! Each attempt has a thread of its own, as any call may hang; while one is out
//! there is no other. Between two attempts lie [`PAUSE_MIN`] to [`PAUSE_MAX`]. A
//! library that was opened stays so: later attempts only ask it again.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use super::Opened;

const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(60);

type Attempt = Receiver<Result<Opened, NvmlError>>;

/// The library, and the attempt that is out.
pub(super) struct Opening {
    library: Option<PathBuf>,
    opened: Arc<OnceLock<&'static Nvml>>,
    attempt: Option<Attempt>,
    next: Instant,
    pause: Duration,
}

impl Opening {
    pub(super) fn new(library: Option<&Path>) -> Self {
        let library = library.map(Path::to_path_buf);
        let opened = Arc::default();
        Self { library, opened, attempt: None, next: Instant::now(), pause: PAUSE_MIN }
    }

    /// The first attempt, for `limit` at most; the error says why there are no
    /// GPUs.
    pub(super) fn wait(&mut self, limit: Duration) -> Result<Opened, String> {
        let attempt = self.begin()?;
        match attempt.recv_timeout(limit) {
            Ok(result) => self.ended(result),
            Err(_) => {
                self.attempt = Some(attempt);
                let seconds = limit.as_secs();
                Err(format!("no GPUs: {} did not start within {seconds} s", self.name()))
            }
        }
    }

    /// What has become of it since, if anything; begins another attempt when it is
    /// time.
    pub(super) fn look(&mut self) -> Option<Result<Opened, String>> {
        match self.attempt.take() {
            Some(attempt) => match attempt.try_recv() {
                Ok(result) => Some(self.ended(result)),
                Err(TryRecvError::Empty) => {
                    self.attempt = Some(attempt);
                    None
                }
                Err(TryRecvError::Disconnected) => None,
            },
            None if Instant::now() >= self.next => match self.begin() {
                Ok(attempt) => {
                    self.attempt = Some(attempt);
                    None
                }
                Err(note) => Some(Err(note)),
            },
            None => None,
        }
    }

    fn begin(&mut self) -> Result<Attempt, String> {
        self.next = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        let (tell, told) = channel();
        let (library, opened) = (self.library.clone(), Arc::clone(&self.opened));
        let open = move || {
            let nvml = match opened.get() {
                Some(nvml) => Ok(*nvml),
                None => open(library.as_deref()).map(|nvml| *opened.get_or_init(|| nvml)),
            };
            // Asked here too, since any call may hang.
            let _ = tell.send(nvml.map(Opened::of));
        };
        let thread = thread::Builder::new().name("nvml-open".into()).spawn(open);
        thread.map_err(|error| format!("cannot start a thread for {}: {error}", self.name()))?;
        Ok(told)
    }

    fn ended(&self, result: Result<Opened, NvmlError>) -> Result<Opened, String> {
        result.map_err(|error| match error {
            NvmlError::LibloadingError(error) => {
                format!("no GPUs: {} is not here ({error})", self.name())
            }
            error => format!("no GPUs: {} does not start: {error}", self.name()),
        })
    }

    fn name(&self) -> String {
        self.library.as_ref().map_or("NVML".to_owned(), |path| path.display().to_string())
    }
}

/// Leaked: see [`super::Source::open`]. So its drop, which panics in a library
/// without `nvmlShutdown`, never runs.
fn open(library: Option<&Path>) -> Result<&'static Nvml, NvmlError> {
    let mut builder = Nvml::builder();
    if let Some(path) = library {
        builder.lib_path(path.as_os_str());
    }
    builder.init().map(|nvml| &*Box::leak(Box::new(nvml)))
}
