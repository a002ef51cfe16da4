//! Calls about the system.

use std::ffi::{c_char, c_int, c_uint};

use nvml_wrapper_sys::bindings::nvmlDevice_t;

use crate::profile::{INVALID_ARGUMENT, PROFILE, Target, fault, system};
use crate::put::{code, number, text};

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> c_uint {
    code(fault("nvmlInit_v2", None))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> c_uint {
    code(fault("nvmlShutdown", None))
}

macro_rules! system_text {
    ($($name:ident),*) => { $(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(to: *mut c_char, length: c_uint) -> c_uint {
            // SAFETY: S1.
            code(system(stringify!($name)).and_then(|v| unsafe { text(v, to, length as usize) }))
        }
    )* };
}
system_text!(nvmlSystemGetDriverVersion, nvmlSystemGetNVMLVersion);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(to: *mut c_int) -> c_uint {
    code(system("nvmlSystemGetCudaDriverVersion_v2").and_then(number).map(|version| {
        // SAFETY: S1.
        unsafe { to.write(version as c_int) };
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(to: *mut c_uint) -> c_uint {
    code(fault("nvmlDeviceGetCount_v2", None).map(|()| {
        let count = PROFILE.as_ref().map_or(0, |profile| profile.gpus.len());
        // SAFETY: S1.
        unsafe { to.write(count as c_uint) };
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(
    index: c_uint,
    to: *mut nvmlDevice_t,
) -> c_uint {
    let gpu = index as usize;
    let found = fault("nvmlDeviceGetHandleByIndex_v2", Some(gpu)).and_then(|()| {
        let handle = Target { gpu, partition: None }.handle();
        Target::of(handle).ok_or(INVALID_ARGUMENT).map(|_| handle)
    });
    code(found.map(|handle| {
        // SAFETY: S1.
        unsafe { to.write(handle) };
    }))
}
