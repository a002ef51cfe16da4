//! One GPU's readings, group by group.

mod activity;
mod groups;
mod links;
mod mig;
mod throttle;

use std::sync::{Mutex, MutexGuard, PoisonError};

use nvml_wrapper::Device;
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;

use crate::{Gpu, Identity, Verdict, raw};

pub(crate) use activity::Samples;

/// The part that stands for the sum of all links.
pub(crate) const ALL_LINKS: u32 = u32::MAX;

/// A result that the wrapper has no word for: the driver has dropped the call.
const DEPRECATED: u32 = 26;

/// What a reading thread shows while it reads.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<Shown>);

/// So far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    pub(crate) gpu: Gpu,
    pub(crate) notes: Vec<String>,
    /// What is being asked.
    pub(crate) asking: &'static str,
}

impl Progress {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks one device and keeps what is refused.
pub(crate) struct Asker<'a, 'nvml> {
    device: &'a Device<'nvml>,
    progress: &'a Progress,
    samples: &'a mut Samples<'nvml>,
    lost: bool,
}

/// Reads everything of the GPU `index`. `identity` is what an earlier reading
/// found, `samples` what it left.
pub(crate) fn read<'nvml>(
    device: &Device<'nvml>,
    index: u32,
    identity: Option<Identity>,
    samples: &mut Samples<'nvml>,
    progress: &Progress,
) {
    *progress.lock() = Shown { gpu: Gpu { index, ..Gpu::default() }, ..Shown::default() };
    let mut asker = Asker { device, progress, samples, lost: false };
    let identity = identity.unwrap_or_else(|| asker.identity());
    asker.show(|gpu| gpu.identity = identity);
    asker.groups();
    asker.links();
    asker.partitions();
    if asker.lost {
        asker.show(|gpu| {
            gpu.lost = true;
            gpu.health.blame(Verdict::Bad, "the GPU is lost: it fell off the bus");
        });
    }
}

impl Asker<'_, '_> {
    /// One call. `None`: not supported, or refused with a note.
    pub(crate) fn ask<T>(
        &mut self,
        what: &'static str,
        call: impl FnOnce(&Device) -> Result<T, NvmlError>,
    ) -> Option<T> {
        self.ask_about(self.device, what, call)
    }

    /// The same of another device: a partition of this one.
    pub(crate) fn ask_about<T>(
        &mut self,
        device: &Device,
        what: &'static str,
        call: impl FnOnce(&Device) -> Result<T, NvmlError>,
    ) -> Option<T> {
        if self.lost {
            return None;
        }
        self.progress.lock().asking = what;
        match call(device) {
            Ok(value) => return Some(value),
            Err(
                NvmlError::NotSupported
                | NvmlError::FunctionNotFound
                | NvmlError::FailedToLoadSymbol(_)
                | NvmlError::UnexpectedVariant(DEPRECATED),
            ) => {}
            Err(NvmlError::GpuLost) => self.lost = true,
            Err(error) => self.note(what, &error),
        }
        None
    }

    fn note(&self, what: &str, error: &NvmlError) {
        let mut shown = self.progress.lock();
        let note = format!("GPU {}: {what}: {error}", shown.gpu.index);
        shown.notes.push(note);
    }

    /// Puts what was read where the snapshot finds it.
    pub(crate) fn show(&self, put: impl FnOnce(&mut Gpu)) {
        put(&mut self.progress.lock().gpu);
    }

    /// A field value as a number. (The wrapper knows how drivers number fields.)
    pub(crate) fn field(&mut self, what: &'static str, field: u32) -> Option<u64> {
        self.number(what, |device| {
            let values = device.field_values_for(&[FieldId(field)])?;
            values.into_iter().next().ok_or(NvmlError::NotSupported)??.value
        })
    }

    /// The same of a part that the field names: a link, or [`ALL_LINKS`].
    pub(crate) fn field_of(&mut self, what: &'static str, field: u32, scope: u32) -> Option<u64> {
        self.number(what, |device| raw::field(device, field, scope))
    }

    fn number(
        &mut self,
        what: &'static str,
        call: impl FnOnce(&Device) -> Result<SampleValue, NvmlError>,
    ) -> Option<u64> {
        let value = self.ask(what, |device| match call(device) {
            // What a driver does not know of it calls invalid.
            Err(NvmlError::InvalidArg) => Err(NvmlError::NotSupported),
            value => value,
        })?;
        match value {
            #[allow(clippy::cast_possible_truncation, reason = "saturates, which is meant")]
            SampleValue::F64(value) if value >= 0.0 => Some(value as u64),
            SampleValue::F64(_) => None,
            SampleValue::U32(value) => Some(value.into()),
            SampleValue::U64(value) => Some(value),
            SampleValue::I64(value) => u64::try_from(value).ok(),
        }
    }
}
