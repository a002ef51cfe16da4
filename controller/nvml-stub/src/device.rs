//! Calls about a GPU.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    nvmlBAR1Memory_t, nvmlDevice_t, nvmlDeviceAttributes_t, nvmlFieldValue_t, nvmlGpuFabricInfoV_t,
    nvmlMemory_v2_t, nvmlPciInfo_t, nvmlProcessInfo_t, nvmlUtilization_t, nvmlValue_t,
};
use serde_json::Value;

use crate::profile::{
    ARGUMENT_VERSION_MISMATCH, INSUFFICIENT_SIZE, NOT_FOUND, NOT_SUPPORTED, SUCCESS, Target,
};
use crate::put::{chosen, code, number, part, target, text};

macro_rules! texts {
    ($($name:ident),*) => { $(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            device: nvmlDevice_t, to: *mut c_char, length: c_uint,
        ) -> c_uint {
            let value = target(device).and_then(|target| target.ask(stringify!($name)));
            // SAFETY: S1.
            code(value.and_then(|value| unsafe { text(value, to, length as usize) }))
        }
    )* };
}
texts!(nvmlDeviceGetName, nvmlDeviceGetUUID, nvmlDeviceGetSerial, nvmlDeviceGetVbiosVersion);

macro_rules! numbers {
    ($($name:ident: $type:ty),* $(,)?) => { $(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: nvmlDevice_t, to: *mut $type) -> c_uint {
            let value = target(device).and_then(|target| target.ask(stringify!($name)));
            code(value.and_then(number).map(|number| {
                // SAFETY: S1.
                unsafe { to.write(number as $type) };
            }))
        }
    )* };
}
numbers!(
    nvmlDeviceGetArchitecture: c_uint,
    nvmlDeviceGetBrand: c_uint,
    nvmlDeviceGetComputeInstanceId: c_uint,
    nvmlDeviceGetCurrPcieLinkGeneration: c_uint,
    nvmlDeviceGetCurrPcieLinkWidth: c_uint,
    nvmlDeviceGetCurrentClocksEventReasons: c_ulonglong,
    nvmlDeviceGetCurrentClocksThrottleReasons: c_ulonglong,
    nvmlDeviceGetEnforcedPowerLimit: c_uint,
    nvmlDeviceGetGpuInstanceId: c_uint,
    nvmlDeviceGetMaxMigDeviceCount: c_uint,
    nvmlDeviceGetMaxPcieLinkGeneration: c_uint,
    nvmlDeviceGetMaxPcieLinkWidth: c_uint,
    nvmlDeviceGetNumGpuCores: c_uint,
    nvmlDeviceGetPcieReplayCounter: c_uint,
    nvmlDeviceGetPerformanceState: c_uint,
    nvmlDeviceGetPowerUsage: c_uint,
    nvmlDeviceGetSupportedEventTypes: c_ulonglong,
    nvmlDeviceGetTotalEnergyConsumption: c_ulonglong,
);

macro_rules! chosen_numbers {
    ($($name:ident),* $(,)?) => { $(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            device: nvmlDevice_t, which: c_uint, to: *mut c_uint,
        ) -> c_uint {
            let value = target(device).and_then(|target| target.ask(stringify!($name)));
            let value = value.and_then(|value| chosen(value, which)).and_then(number);
            code(value.map(|number| {
                // SAFETY: S1.
                unsafe { to.write(number as c_uint) };
            }))
        }
    )* };
}
chosen_numbers!(
    nvmlDeviceGetClockInfo,
    nvmlDeviceGetMaxClockInfo,
    nvmlDeviceGetPcieThroughput,
    nvmlDeviceGetTemperature,
    nvmlDeviceGetTemperatureThreshold,
);

macro_rules! pairs {
    ($($name:ident($first:literal, $second:literal): $type:ty),* $(,)?) => { $(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            device: nvmlDevice_t, first: *mut $type, second: *mut $type,
        ) -> c_uint {
            let value = target(device).and_then(|target| target.ask(stringify!($name)));
            code(value.map(|value| {
                // SAFETY: S1, both.
                unsafe { first.write(part(value, $first) as $type) };
                // SAFETY: S1, both.
                unsafe { second.write(part(value, $second) as $type) };
            }))
        }
    )* };
}
pairs!(
    nvmlDeviceGetCudaComputeCapability("major", "minor"): c_int,
    nvmlDeviceGetDecoderUtilization("percent", "period_us"): c_uint,
    nvmlDeviceGetEccMode("current", "pending"): c_uint,
    nvmlDeviceGetEncoderUtilization("percent", "period_us"): c_uint,
    nvmlDeviceGetMigMode("current", "pending"): c_uint,
    nvmlDeviceGetPowerManagementLimitConstraints("min", "max"): c_uint,
);

macro_rules! structures {
    ($($name:ident: $type:ty = |$value:ident, $to:ident| $fill:block)*) => { $(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(device: nvmlDevice_t, to: *mut $type) -> c_uint {
            let value = target(device).and_then(|target| target.ask(stringify!($name)));
            code(value.and_then(|$value| {
                // SAFETY: S1.
                let $to = unsafe { &mut *to };
                $fill
                Ok(())
            }))
        }
    )* };
}
structures! {
    nvmlDeviceGetMemoryInfo_v2: nvmlMemory_v2_t = |value, to| {
        to.total = part(value, "total");
        to.reserved = part(value, "reserved");
        to.used = part(value, "used");
        to.free = part(value, "free");
    }
    nvmlDeviceGetBAR1MemoryInfo: nvmlBAR1Memory_t = |value, to| {
        to.bar1Total = part(value, "total");
        to.bar1Used = part(value, "used");
        to.bar1Free = to.bar1Total - to.bar1Used;
    }
    nvmlDeviceGetUtilizationRates: nvmlUtilization_t = |value, to| {
        to.gpu = part(value, "gpu") as c_uint;
        to.memory = part(value, "memory") as c_uint;
    }
    nvmlDeviceGetAttributes_v2: nvmlDeviceAttributes_t = |value, to| {
        to.multiprocessorCount = part(value, "multiprocessors") as c_uint;
        to.gpuInstanceSliceCount = part(value, "gpu_slices") as c_uint;
        to.computeInstanceSliceCount = part(value, "compute_slices") as c_uint;
        to.memorySizeMB = part(value, "memory_mb");
    }
    nvmlDeviceGetPciInfo_v3: nvmlPciInfo_t = |value, to| { pci(value, to); }
    nvmlDeviceGetGpuFabricInfoV: nvmlGpuFabricInfoV_t = |value, to| {
        if value.get("version").is_some_and(|known| known.as_u64() != Some((to.version >> 24).into())) {
            return Err(ARGUMENT_VERSION_MISMATCH);
        }
        to.state = part(value, "state") as u8;
        to.status = part(value, "status") as c_uint;
        to.cliqueId = part(value, "clique") as c_uint;
        if to.version >> 24 == 3 {
            to.healthMask = part(value, "health_mask") as c_uint;
            to.healthSummary = part(value, "health_summary") as u8;
        }
        let text = value.get("cluster").and_then(Value::as_str).unwrap_or_default();
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        for (byte, pair) in to.clusterUuid.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).unwrap_or("0");
            *byte = u8::from_str_radix(pair, 16).unwrap_or(0);
        }
    }
}

/// `00000000:18:00.0`
fn pci(value: &Value, to: &mut nvmlPciInfo_t) {
    let text = value.as_str().unwrap_or_default();
    let mut parts = text.split([':', '.']).map(|part| u32::from_str_radix(part, 16).unwrap_or(0));
    to.domain = parts.next().unwrap_or(0);
    to.bus = parts.next().unwrap_or(0);
    to.device = parts.next().unwrap_or(0);
    to.pciDeviceId = 0x2330_10de;
    to.pciSubSystemId = 0;
    for (slot, byte) in to.busId.iter_mut().zip(text.bytes().chain([0])) {
        *slot = byte.cast_signed();
    }
    for (slot, byte) in to.busIdLegacy.iter_mut().zip(text.bytes().skip(4).chain([0])) {
        *slot = byte.cast_signed();
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetIndex(device: nvmlDevice_t, to: *mut c_uint) -> c_uint {
    let told = target(device).and_then(|target| {
        crate::profile::fault("nvmlDeviceGetIndex", Some(target.gpu))?;
        Ok(target.gpu)
    });
    code(told.map(|index| {
        // SAFETY: S1.
        unsafe { to.write(index as c_uint) };
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTotalEccErrors(
    device: nvmlDevice_t,
    error: c_uint,
    counter: c_uint,
    to: *mut c_ulonglong,
) -> c_uint {
    let value = target(device).and_then(|target| target.ask("nvmlDeviceGetTotalEccErrors"));
    let value = value.and_then(|value| chosen(value, format!("{error},{counter}")));
    code(value.and_then(number).map(|number| {
        // SAFETY: S1.
        unsafe { to.write(number) };
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetFieldValues(
    device: nvmlDevice_t,
    count: c_int,
    values: *mut nvmlFieldValue_t,
) -> c_uint {
    const UNSIGNED_LONG_LONG: u32 = 3;
    let known = match target(device).and_then(|target| target.ask("nvmlDeviceGetFieldValues")) {
        Ok(known) => known,
        Err(NOT_SUPPORTED) => &Value::Null,
        Err(error) => return error,
    };
    for at in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: S1 — the caller owns `count` of them.
        let value = unsafe { &mut *values.add(at) };
        value.valueType = UNSIGNED_LONG_LONG;
        let key = match value.scopeId {
            0 => value.fieldId.to_string(),
            scope => format!("{}:{scope}", value.fieldId),
        };
        match chosen(known, key).and_then(number) {
            Ok(number) => {
                value.nvmlReturn = SUCCESS;
                value.value = nvmlValue_t { ullVal: number };
            }
            Err(error) => value.nvmlReturn = error,
        }
    }
    SUCCESS
}

macro_rules! processes {
    ($($name:ident),*) => { $(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            device: nvmlDevice_t, count: *mut c_uint, list: *mut nvmlProcessInfo_t,
        ) -> c_uint {
            let value = target(device).and_then(|target| {
                let value = target.ask(stringify!($name))?;
                Ok((value, crate::profile::calls(stringify!($name), target.gpu)))
            });
            // SAFETY: S1.
            code(value.and_then(|(value, calls)| unsafe { processes(value, calls, count, list) }))
        }
    )* };
}
processes!(
    nvmlDeviceGetComputeRunningProcesses_v3,
    nvmlDeviceGetGraphicsRunningProcesses_v3,
    nvmlDeviceGetMPSComputeRunningProcesses_v3
);

unsafe fn processes(
    value: &Value,
    calls: u64,
    count: *mut c_uint,
    list: *mut nvmlProcessInfo_t,
) -> Result<(), u32> {
    // `{"grows": [[…], […]]}`: a call sees the list after the one before it.
    let grown = value
        .get("grows")
        .and_then(Value::as_array)
        .and_then(|lists| lists.get((calls as usize).saturating_sub(1)).or_else(|| lists.last()));
    let value = grown.unwrap_or(value);
    let known = value.as_array().map_or(&[][..], Vec::as_slice);
    // SAFETY: S1.
    let room = unsafe { count.replace(known.len() as c_uint) };
    if known.is_empty() {
        return Ok(());
    }
    if list.is_null() || (room as usize) < known.len() {
        return Err(INSUFFICIENT_SIZE);
    }
    for (at, process) in known.iter().enumerate() {
        let info = nvmlProcessInfo_t {
            pid: part(process, "pid") as c_uint,
            usedGpuMemory: process.get("used").map_or(u64::MAX, |used| used.as_u64().unwrap_or(0)),
            gpuInstanceId: u32::MAX,
            computeInstanceId: u32::MAX,
        };
        // SAFETY: S1 — `at` is below `room`.
        unsafe { list.add(at).write(info) };
    }
    Ok(())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: nvmlDevice_t,
    index: c_uint,
    to: *mut nvmlDevice_t,
) -> c_uint {
    let found = target(device).and_then(|parent| {
        let there = parent.entry("mig", index).is_some_and(|entry| !entry.is_null());
        let partition = Target { gpu: parent.gpu, partition: Some(index as usize) };
        there.then(|| partition.handle()).ok_or(NOT_FOUND)
    });
    code(found.map(|handle| {
        // SAFETY: S1.
        unsafe { to.write(handle) };
    }))
}

/// The value of a link.
fn link(device: nvmlDevice_t, index: c_uint, call: &str) -> Result<&'static Value, u32> {
    let target = target(device)?;
    crate::profile::fault(call, Some(target.gpu))?;
    let link = target.entry("links", index).ok_or(NOT_SUPPORTED)?;
    link.get(call).ok_or(NOT_SUPPORTED)
}

macro_rules! links {
    ($($name:ident),*) => { $(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            device: nvmlDevice_t, index: c_uint, to: *mut c_uint,
        ) -> c_uint {
            code(link(device, index, stringify!($name)).and_then(number).map(|number| {
                // SAFETY: S1.
                unsafe { to.write(number as c_uint) };
            }))
        }
    )* };
}
links!(nvmlDeviceGetNvLinkState, nvmlDeviceGetNvLinkVersion, nvmlDeviceGetNvLinkRemoteDeviceType);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetNvLinkRemotePciInfo_v2(
    device: nvmlDevice_t,
    index: c_uint,
    to: *mut nvmlPciInfo_t,
) -> c_uint {
    code(link(device, index, "nvmlDeviceGetNvLinkRemotePciInfo_v2").map(|value| {
        // SAFETY: S1.
        pci(value, unsafe { &mut *to });
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetNvLinkErrorCounter(
    device: nvmlDevice_t,
    index: c_uint,
    counter: c_uint,
    to: *mut c_ulonglong,
) -> c_uint {
    let value = link(device, index, "nvmlDeviceGetNvLinkErrorCounter");
    let value = value.and_then(|value| chosen(value, counter));
    code(value.and_then(number).map(|number| {
        // SAFETY: S1.
        unsafe { to.write(number) };
    }))
}
