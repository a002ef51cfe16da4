//! The few calls that nvml-wrapper does not wrap.
//!
//! Unsafe lives here alone; invariants N1–N3 are in `docs/UNSAFE.md`.

#![allow(unsafe_code)]

use std::os::raw::{c_uint, c_ulonglong};

use nvml_wrapper::Device;
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::{NvmlError, nvml_try};
use nvml_wrapper::struct_wrappers::device::FieldValueSample;
use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlFieldValue_t, nvmlGpuFabricInfoV_t, nvmlReturn_t, nvmlValue_t,
};

use crate::Fabric;

#[allow(clippy::cast_possible_truncation, reason = "a structure of 36 bytes")]
/// The layout's size and number, as NVML's versioned structures carry them.
const FABRIC_VERSION: c_uint = (size_of::<nvmlGpuFabricInfoV_t>() as c_uint) | (3 << 24);
/// The layout before it, which drivers until 2024 know: less the last field.
const FABRIC_VERSION_2: c_uint = 36 | (2 << 24);
/// A result that the wrapper has no word for: a layout that the driver does not know.
const VERSION_MISMATCH: u32 = 25;
const NOT_STARTED: u8 = 1;
const IN_PROGRESS: u8 = 2;
const COMPLETED: u8 = 3;

fn missing(name: &str) -> NvmlError {
    NvmlError::FailedToLoadSymbol(name.to_owned())
}

fn handle(device: &Device) -> nvmlDevice_t {
    // SAFETY: N1 — the handle is used within the borrow of its device.
    unsafe { device.handle() }
}

/// What tells a GPU's handles from another's, also once it is lost.
pub(crate) fn address(device: &Device) -> usize {
    handle(device).addr()
}

/// The NVLink domain; `None` where the GPU belongs to none.
pub(crate) fn fabric(device: &Device) -> Result<Option<Fabric>, NvmlError> {
    let lib = device.nvml().lib();
    let call = lib.nvmlDeviceGetGpuFabricInfoV.as_ref().map_err(|_| missing("fabric info"))?;
    let mut info = nvmlGpuFabricInfoV_t {
        version: FABRIC_VERSION,
        clusterUuid: [0; 16],
        status: 0,
        cliqueId: 0,
        state: 0,
        healthMask: 0,
        healthSummary: 0,
    };
    // SAFETY: N2 — `info` is of the version that it names and outlives the call.
    let mut told = nvml_try(unsafe { call(handle(device), &raw mut info) });
    if matches!(told, Err(NvmlError::UnexpectedVariant(VERSION_MISMATCH))) {
        info.version = FABRIC_VERSION_2;
        // SAFETY: N2 — the older version is the beginning of `info`.
        told = nvml_try(unsafe { call(handle(device), &raw mut info) });
    }
    told?;
    let state = match info.state {
        NOT_STARTED => "not_started",
        IN_PROGRESS => "in_progress",
        // The probe is over; `status` tells how it ended.
        COMPLETED if info.status != 0 => "error",
        COMPLETED => "completed",
        _ => return Ok(None),
    };
    let known = info.clusterUuid != [0; 16];
    let tells_health = info.version == FABRIC_VERSION;
    Ok(Some(Fabric {
        cluster_uuid: known.then(|| uuid(info.clusterUuid)),
        clique: (known && state != "error").then_some(info.cliqueId),
        state: Some(state.to_owned()),
        health: tells_health.then(|| health(info.healthSummary)).flatten().map(str::to_owned),
        health_mask: tells_health.then_some(info.healthMask),
    }))
}

/// `NVML_GPU_FABRIC_HEALTH_SUMMARY_*`
fn health(summary: u8) -> Option<&'static str> {
    match summary {
        1 => Some("healthy"),
        2 => Some("unhealthy"),
        3 => Some("limited_capacity"),
        _ => None,
    }
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Why clocks are lowered, by the symbol that replaces the deprecated one.
pub(crate) fn clocks_event_reasons(device: &Device) -> Result<u64, NvmlError> {
    let lib = device.nvml().lib();
    let call = lib
        .nvmlDeviceGetCurrentClocksEventReasons
        .as_ref()
        .map_err(|_| missing("clocks event reasons"))?;
    let mut reasons: c_ulonglong = 0;
    // SAFETY: N2 — `reasons` outlives the call.
    nvml_try(unsafe { call(handle(device), &raw mut reasons) })?;
    Ok(reasons)
}

/// One field value of the part `scope`. (The wrapper asks about part 0 only.)
pub(crate) fn field(device: &Device, field: u32, scope: u32) -> Result<SampleValue, NvmlError> {
    let lib = device.nvml().lib();
    let call = lib.nvmlDeviceGetFieldValues.as_ref().map_err(|_| missing("field values"))?;
    let mut value = nvmlFieldValue_t {
        fieldId: field,
        scopeId: scope,
        timestamp: 0,
        latencyUsec: 0,
        valueType: 0,
        nvmlReturn: 0,
        value: nvmlValue_t { ullVal: 0 },
    };
    // SAFETY: N2 — `value` is the one that the count tells, and outlives the call.
    nvml_try(unsafe { call(handle(device), 1, &raw mut value) })?;
    FieldValueSample::try_from(value)?.value
}

/// Numbers of a partition's GPU instance and compute instance.
pub(crate) fn instance_ids(device: &Device) -> (Option<u32>, Option<u32>) {
    let lib = device.nvml().lib();
    let id = |call: Option<&unsafe extern "C" fn(nvmlDevice_t, *mut c_uint) -> nvmlReturn_t>| {
        let mut id: c_uint = 0;
        // SAFETY: N2 — `id` outlives the call.
        nvml_try(unsafe { call?(handle(device), &raw mut id) }).ok()?;
        Some(id)
    };
    (
        id(lib.nvmlDeviceGetGpuInstanceId.as_ref().ok()),
        id(lib.nvmlDeviceGetComputeInstanceId.as_ref().ok()),
    )
}

/// What is at the other end of a link. (The wrapper's own method drops the
/// answer.)
pub(crate) fn remote_device_type(device: &Device, link: u32) -> Result<u32, NvmlError> {
    let lib = device.nvml().lib();
    let call = lib
        .nvmlDeviceGetNvLinkRemoteDeviceType
        .as_ref()
        .map_err(|_| missing("NVLink remote device type"))?;
    let mut kind: c_uint = 0;
    // SAFETY: N2 — `kind` outlives the call.
    nvml_try(unsafe { call(handle(device), link, &raw mut kind) })?;
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use nvml_wrapper_sys::bindings::{nvmlFieldValue_t, nvmlMemory_v2_t};

    use super::FABRIC_VERSION;

    /// From `nvml.h` of CUDA 13: 4 + 16 + 4 + 4 + 1 (+ 3) + 4 + 1 (+ 3) bytes,
    /// number 3 above bit 24; and the two other layouts that carry a size.
    #[test]
    fn layouts_are_those_of_the_header() {
        assert_eq!(FABRIC_VERSION, 0x0300_0028);
        assert_eq!(size_of::<nvmlMemory_v2_t>(), 40);
        assert_eq!(size_of::<nvmlFieldValue_t>(), 40);
    }
}
