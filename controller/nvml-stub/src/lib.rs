//! A `libnvidia-ml` for tests: answers from a JSON profile.
//!
//! It is loaded by path like the real one, so that opening, symbols, structure
//! layouts and errors are exercised for real. `OSMO_NVML_STUB` names the
//! profile:
//!
//! ```json
//! {"system": {"nvmlSystemGetDriverVersion": "535.129.03"},
//!  "gpus": [{"nvmlDeviceGetName": "NVIDIA H100 80GB HBM3",
//!            "nvmlDeviceGetClockInfo": {"0": 1980},
//!            "nvmlDeviceGetFieldValues": {"82": 41},
//!            "links": [{"nvmlDeviceGetNvLinkState": 1}],
//!            "mig": [{"nvmlDeviceGetUUID": "MIG-…"}]}],
//!  "faults": [{"call": "nvmlDeviceGetTemperature", "gpu": 0, "after": 2,
//!              "error": 15}, {"call": "…", "hang_s": 60}],
//!  "xids": [{"gpu": 0, "xid": 79, "count": 1000}]}
//! ```
//!
//! A value's key is the function's name; an argument chooses within an object.
//! A GPU takes what it lacks from the one that it is `"like"` (an earlier
//! number), a link stands for as many as its `"times"`, and a list of processes
//! may be `{"grows": [[…], […]]}`, one list a call.
//!
//! A field value's key is its number, with `:` and the part where one is asked
//! for (`138:4294967295`: all links).
//!
//! What the profile lacks is not supported. A fault begins after so many calls
//! of the function, of one GPU or of all, and ends with its `"times"`, if any.

#![allow(
    unsafe_code,
    non_snake_case,
    clippy::missing_safety_doc,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

mod device;
mod event;
mod gpm;
mod profile;
mod put;
mod system;
