//! The performance monitor: a sample's handle is a number, and what was between two
//! samples of a GPU or a partition is its profile's `nvmlGpmMetricsGet`.

use std::collections::BTreeMap;
use std::ffi::c_uint;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlGpmMetricsGet_t, nvmlGpmSample_t, nvmlGpmSupport_t,
};
use serde_json::Value;

use crate::profile::{INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED, SUCCESS, Target};
use crate::put::{chosen, code, target};

/// Samples by number; what an empty one is of is not known.
type Samples = BTreeMap<usize, Option<Target>>;

static SAMPLES: LazyLock<Mutex<Samples>> = LazyLock::new(Mutex::default);

/// Those of a program that forgets to free them would end here.
const SAMPLES_MAX: usize = 1000;

fn samples() -> MutexGuard<'static, Samples> {
    SAMPLES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmQueryDeviceSupport(
    device: nvmlDevice_t,
    to: *mut nvmlGpmSupport_t,
) -> c_uint {
    let known = target(device).and_then(|target| target.ask("nvmlGpmQueryDeviceSupport"));
    code(known.map(|known| {
        // SAFETY: S1.
        unsafe { (*to).isSupportedDevice = known.as_bool().unwrap_or(false).into() };
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleAlloc(to: *mut nvmlGpmSample_t) -> c_uint {
    let mut samples = samples();
    let number = samples.keys().last().map_or(1, |last| last + 1);
    if samples.len() == SAMPLES_MAX {
        return INVALID_ARGUMENT;
    }
    samples.insert(number, None);
    // SAFETY: S1.
    unsafe { to.write(std::ptr::without_provenance_mut(number)) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlGpmSampleFree(sample: nvmlGpmSample_t) -> c_uint {
    code(samples().remove(&sample.addr()).map(|_| ()).ok_or(INVALID_ARGUMENT))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlGpmSampleGet(device: nvmlDevice_t, sample: nvmlGpmSample_t) -> c_uint {
    code(target(device).and_then(|target| fill(target, sample)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlGpmMigSampleGet(
    device: nvmlDevice_t,
    instance: c_uint,
    sample: nvmlGpmSample_t,
) -> c_uint {
    code(target(device).and_then(|target| {
        let is_it = |partition: &Target| {
            let number = partition.ask("nvmlDeviceGetGpuInstanceId").ok().and_then(Value::as_u64);
            number == Some(instance.into())
        };
        fill(target.partitions().find(is_it).ok_or(NOT_FOUND)?, sample)
    }))
}

fn fill(target: Target, sample: nvmlGpmSample_t) -> Result<(), u32> {
    target.ask("nvmlGpmMetricsGet")?;
    *samples().get_mut(&sample.addr()).ok_or(INVALID_ARGUMENT)? = Some(target);
    Ok(())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmMetricsGet(to: *mut nvmlGpmMetricsGet_t) -> c_uint {
    // SAFETY: S1.
    let to = unsafe { &mut *to };
    let of = |sample: nvmlGpmSample_t| samples().get(&sample.addr()).copied().flatten();
    let (Some(first), Some(second)) = (of(to.sample1), of(to.sample2)) else {
        return INVALID_ARGUMENT;
    };
    if to.sample1 == to.sample2 || first.handle() != second.handle() {
        return INVALID_ARGUMENT;
    }
    code(second.ask("nvmlGpmMetricsGet").map(|known| {
        for metric in to.metrics.iter_mut().take(to.numMetrics as usize) {
            let value = chosen(known, metric.metricId).ok().and_then(Value::as_f64);
            metric.nvmlReturn = if value.is_some() { SUCCESS } else { NOT_SUPPORTED };
            metric.value = value.unwrap_or(0.0);
        }
    }))
}
