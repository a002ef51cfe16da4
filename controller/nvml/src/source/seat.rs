//! A GPU's thread, which a call that hangs may keep for good.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use crate::read::{Progress, Shown, read};
use crate::{Gpu, Identity, Verdict};

pub(crate) struct Seat {
    index: u32,
    progress: Arc<Progress>,
    ask: SyncSender<()>,
    done: Receiver<()>,
    /// Asked, and not yet answered.
    owed: bool,
    /// It missed the last deadline: the next snapshot does not wait for it.
    late: bool,
}

impl Seat {
    /// Starts the thread.
    pub(crate) fn take(nvml: &'static Nvml, index: u32) -> Self {
        let (ask, asked) = sync_channel(1);
        let (tell, done) = sync_channel(1);
        let progress = Arc::new(Progress::default());
        let shown = Arc::clone(&progress);
        let work = move || {
            let mut identity = None;
            while asked.recv().is_ok() {
                one(nvml, index, &mut identity, &shown);
                if tell.send(()).is_err() {
                    return;
                }
            }
        };
        // Without a thread the channel is closed, and `end` says so.
        let _ = thread::Builder::new().name(format!("gpu-{index}")).spawn(work);
        Self { index, progress, ask, done, owed: false, late: false }
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
        let left = match self.late {
            true => Duration::ZERO,
            false => deadline.saturating_duration_since(Instant::now()),
        };
        match self.done.recv_timeout(left) {
            Ok(()) => (self.owed, self.late) = (false, false),
            Err(RecvTimeoutError::Timeout) => {
                self.late = true;
                return self.hung();
            }
            Err(RecvTimeoutError::Disconnected) => return self.gone(),
        }
        self.progress.lock().clone()
    }

    fn hung(&self) -> Shown {
        let mut shown = self.progress.lock().clone();
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

/// One reading; what the GPU is is asked until it is known.
fn one(nvml: &'static Nvml, index: u32, identity: &mut Option<Identity>, progress: &Progress) {
    match nvml.device_by_index(index) {
        Ok(device) => {
            read(&device, index, identity.clone(), progress);
            let found = progress.lock().gpu.identity.clone();
            if found.uuid.is_some() {
                *identity = Some(found);
            }
        }
        Err(error) => {
            let mut gpu = Gpu { index, ..Gpu::default() };
            gpu.identity = identity.clone().unwrap_or_default();
            let lost = matches!(error, NvmlError::GpuLost);
            let reason =
                if lost { "the GPU is lost".into() } else { format!("no handle: {error}") };
            gpu.health.blame(Verdict::Bad, reason);
            *progress.lock() = Shown { gpu, ..Shown::default() };
        }
    }
}
