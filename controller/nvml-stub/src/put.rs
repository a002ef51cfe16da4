//! Values into the caller's memory.

use std::ffi::c_char;

use serde_json::Value;

use crate::profile::{INSUFFICIENT_SIZE, INVALID_ARGUMENT, SUCCESS, Target};

/// A result as NVML returns it.
pub(crate) fn code(result: Result<(), u32>) -> u32 {
    result.err().unwrap_or(SUCCESS)
}

/// A string with its NUL.
///
/// # Safety
/// S1: `to` is what the caller of NVML promises, `length` bytes of its own.
pub(crate) unsafe fn text(value: &Value, to: *mut c_char, length: usize) -> Result<(), u32> {
    let text = value.as_str().ok_or(INVALID_ARGUMENT)?;
    if text.len() >= length {
        return Err(INSUFFICIENT_SIZE);
    }
    for (at, byte) in text.bytes().chain([0]).enumerate() {
        // SAFETY: S1 — `at` is below `length`.
        unsafe { to.add(at).write(byte.cast_signed()) };
    }
    Ok(())
}

/// A number of any width.
pub(crate) fn number(value: &Value) -> Result<u64, u32> {
    value
        .as_u64()
        .or_else(|| value.as_i64().map(i64::cast_unsigned))
        .or_else(|| value.as_bool().map(u64::from))
        .ok_or(INVALID_ARGUMENT)
}

/// The number under `key`, or 0.
pub(crate) fn part(value: &Value, key: &str) -> u64 {
    value.get(key).map_or(0, |value| number(value).unwrap_or(0))
}

/// The value that an argument chooses.
pub(crate) fn chosen(value: &Value, key: impl ToString) -> Result<&Value, u32> {
    value.get(key.to_string()).ok_or(crate::profile::NOT_SUPPORTED)
}

/// The target behind a handle.
pub(crate) fn target(device: nvml_wrapper_sys::bindings::nvmlDevice_t) -> Result<Target, u32> {
    Target::of(device).ok_or(INVALID_ARGUMENT)
}
