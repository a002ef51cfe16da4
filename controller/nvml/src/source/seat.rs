//! A GPU's thread, which a call that hangs may keep for good.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use crate::read::{Progress, Samples, Shown, read};
use crate::{Gpu, Identity, Verdict};

/// The first call for a handle initialises a GPU that nothing keeps awake:
/// seconds, and longer where many start at once.
const ATTACH_LIMIT: Duration = Duration::from_secs(30);
/// What is asked while the handle is.
const HANDLE: &str = "handle";

pub(crate) struct Seat {
    index: u32,
    progress: Arc<Progress>,
    ask: SyncSender<()>,
    done: Receiver<()>,
    /// Asked, and not yet answered.
    owed: bool,
    /// It missed the last deadline: the next snapshot does not wait for it.
    late: bool,
    /// Until when its first handle is waited for.
    attached_by: Instant,
}

impl Seat {
    /// Starts the thread.
    pub(crate) fn take(nvml: &'static Nvml, index: u32) -> Self {
        let (ask, asked) = sync_channel(1);
        let (tell, done) = sync_channel(1);
        let progress = Arc::new(Progress::default());
        let shown = Arc::clone(&progress);
        let work = move || {
            let mut kept = Kept::default();
            while asked.recv().is_ok() {
                one(nvml, index, &mut kept, &shown);
                if tell.send(()).is_err() {
                    return;
                }
            }
        };
        // Without a thread the channel is closed, and `end` says so.
        let _ = thread::Builder::new().name(format!("gpu-{index}")).spawn(work);
        let attached_by = Instant::now() + ATTACH_LIMIT;
        Self { index, progress, ask, done, owed: false, late: false, attached_by }
    }

    /// Asks for a reading, unless the last one is still under way.
    pub(crate) fn begin(&mut self) {
        if self.owed && self.done.try_recv().is_ok() {
            (self.owed, self.late) = (false, false);
        }
        if !self.owed {
            self.owed = !matches!(self.ask.try_send(()), Err(TrySendError::Disconnected(())));
        }
    }

    /// The reading, or as much of it as there is at `deadline`.
    pub(crate) fn end(&mut self, deadline: Instant) -> Shown {
        let stale = self.late;
        let mut told = self.done.recv_timeout(match stale {
            true => Duration::ZERO,
            false => deadline.saturating_duration_since(Instant::now()),
        });
        if told == Err(RecvTimeoutError::Timeout) && !stale && self.attaches() {
            told =
                self.done.recv_timeout(self.attached_by.saturating_duration_since(Instant::now()));
        }
        match told {
            Ok(()) => (self.owed, self.late) = (false, false),
            Err(RecvTimeoutError::Timeout) => {
                self.late = true;
                return self.hung(stale);
            }
            Err(RecvTimeoutError::Disconnected) => return self.gone(),
        }
        self.progress.lock().clone()
    }

    /// Whether it waits for its first handle. (The thread may not have begun.)
    fn attaches(&self) -> bool {
        let shown = self.progress.lock();
        ["", HANDLE].contains(&shown.asking) && shown.gpu.identity == Identity::default()
    }

    /// What an earlier snapshot has told of it is `stale` in this one.
    fn hung(&self, stale: bool) -> Shown {
        let mut shown = self.progress.lock().clone();
        if stale {
            shown.gpu = Gpu { identity: shown.gpu.identity, ..Gpu::default() };
            shown.notes.clear();
        }
        shown.gpu.index = self.index;
        let sentence = format!("the driver does not answer about its {}", shown.asking);
        shown.notes.push(format!("GPU {}: {sentence}; later readings are missing", self.index));
        shown.gpu.health.blame(Verdict::Bad, sentence);
        shown
    }

    fn gone(&self) -> Shown {
        let gpu = Gpu { index: self.index, ..Gpu::default() };
        let note = format!("GPU {}: its reading thread has ended", self.index);
        Shown { gpu, notes: vec![note], asking: "" }
    }
}

/// What one reading leaves for the next.
#[derive(Default)]
struct Kept {
    identity: Option<Identity>,
    samples: Samples<'static>,
}

/// One reading; what the GPU is is asked until it is known.
fn one(nvml: &'static Nvml, index: u32, kept: &mut Kept, progress: &Progress) {
    let known = kept.identity.clone().unwrap_or_default();
    let gpu = Gpu { index, identity: known, ..Gpu::default() };
    *progress.lock() = Shown { gpu, asking: HANDLE, ..Shown::default() };
    match nvml.device_by_index(index) {
        Ok(device) => {
            read(&device, index, kept.identity.clone(), &mut kept.samples, progress);
            let found = progress.lock().gpu.identity.clone();
            if found.uuid.is_some() {
                kept.identity = Some(found);
            }
        }
        Err(error) => {
            let lost = matches!(error, NvmlError::GpuLost);
            let reason =
                if lost { "the GPU is lost".into() } else { format!("no handle: {error}") };
            let gpu = &mut progress.lock().gpu;
            gpu.lost = lost;
            gpu.health.blame(Verdict::Bad, reason);
        }
    }
}
