//! Errors that the driver tells.

use std::ffi::{c_uint, c_ulonglong};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlEventData_t, nvmlEventSet_t};

use crate::profile::{PROFILE, SUCCESS, TIMEOUT, Target, fault};
use crate::put::{code, target};

const XID: c_ulonglong = 8;
static TOLD: AtomicU64 = AtomicU64::new(0);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetCreate(to: *mut nvmlEventSet_t) -> c_uint {
    code(fault("nvmlEventSetCreate", None).map(|()| {
        // SAFETY: S1.
        unsafe { to.write(std::ptr::without_provenance_mut(1)) };
    }))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlEventSetFree(_: nvmlEventSet_t) -> c_uint {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceRegisterEvents(
    device: nvmlDevice_t,
    _: c_ulonglong,
    _: nvmlEventSet_t,
) -> c_uint {
    code(target(device).and_then(|t| fault("nvmlDeviceRegisterEvents", Some(t.gpu))))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetWait_v2(
    _: nvmlEventSet_t,
    to: *mut nvmlEventData_t,
    timeout_ms: c_uint,
) -> c_uint {
    let mut number = TOLD.fetch_add(1, Ordering::Relaxed);
    for event in PROFILE.iter().flat_map(|profile| &profile.xids) {
        if number < event.count {
            let device = Target { gpu: event.gpu, partition: None }.handle();
            let data = nvmlEventData_t {
                device,
                eventType: XID,
                eventData: event.xid,
                gpuInstanceId: u32::MAX,
                computeInstanceId: u32::MAX,
            };
            // SAFETY: S1.
            unsafe { to.write(data) };
            return SUCCESS;
        }
        number -= event.count;
    }
    std::thread::sleep(Duration::from_millis(timeout_ms.into()));
    TIMEOUT
}
