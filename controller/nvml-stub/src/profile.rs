//! The profile, and what a call finds in it.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use nvml_wrapper_sys::bindings::nvmlDevice_t;
use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) const SUCCESS: u32 = 0;
pub(crate) const INVALID_ARGUMENT: u32 = 2;
pub(crate) const NOT_SUPPORTED: u32 = 3;
pub(crate) const NOT_FOUND: u32 = 6;
pub(crate) const INSUFFICIENT_SIZE: u32 = 7;
pub(crate) const DRIVER_NOT_LOADED: u32 = 9;
pub(crate) const TIMEOUT: u32 = 10;
pub(crate) const ARGUMENT_VERSION_MISMATCH: u32 = 25;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Profile {
    pub(crate) system: Map<String, Value>,
    pub(crate) gpus: Vec<Map<String, Value>>,
    faults: Vec<Fault>,
    pub(crate) xids: Vec<XidEvent>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Fault {
    call: String,
    gpu: Option<usize>,
    after: u64,
    times: Option<u64>,
    error: Option<u32>,
    hang_s: Option<u64>,
}

#[derive(Deserialize, Clone, Copy)]
pub(crate) struct XidEvent {
    pub(crate) gpu: usize,
    pub(crate) xid: u64,
    pub(crate) count: u64,
}

pub(crate) static PROFILE: LazyLock<Option<Profile>> = LazyLock::new(|| {
    let text = std::fs::read_to_string(std::env::var_os("OSMO_NVML_STUB")?).ok()?;
    let mut profile: Profile = serde_json::from_str(&text).ok()?;
    profile.complete();
    Some(profile)
});

impl Profile {
    /// Fills in what `like` and `times` abbreviate.
    fn complete(&mut self) {
        for at in 0..self.gpus.len() {
            let like = self.gpus[at].get("like").and_then(Value::as_u64);
            let like = like.and_then(|like| self.gpus.get(like as usize)).cloned();
            for (key, value) in like.unwrap_or_default() {
                self.gpus[at].entry(key).or_insert(value);
            }
        }
        for gpu in &mut self.gpus {
            let Some(Value::Array(links)) = gpu.get_mut("links") else { continue };
            let times = |link: &Value| link.get("times").and_then(Value::as_u64).unwrap_or(1);
            let repeated = |link: &Value| vec![link.clone(); times(link) as usize];
            *links = links.iter().flat_map(repeated).collect();
        }
    }
}

/// How often `call` was made of `gpu`.
pub(crate) fn calls(call: &str, gpu: usize) -> u64 {
    let calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    calls.get(&(call.to_owned(), Some(gpu))).copied().unwrap_or(0)
}

/// Calls so far, by function and GPU.
type Calls = HashMap<(String, Option<usize>), u64>;

static CALLS: LazyLock<Mutex<Calls>> = LazyLock::new(Mutex::default);

/// A GPU, or a partition of one: a handle is `1 + gpu + 1000 × (1 + partition)`.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) gpu: usize,
    pub(crate) partition: Option<usize>,
}

const PARTITION: usize = 1000;

impl Target {
    pub(crate) fn handle(self) -> nvmlDevice_t {
        let partition = self.partition.map_or(0, |partition| (1 + partition) * PARTITION);
        std::ptr::without_provenance_mut(1 + self.gpu + partition)
    }

    pub(crate) fn of(handle: nvmlDevice_t) -> Option<Self> {
        let number = handle.addr();
        let gpu = (number % PARTITION).checked_sub(1)?;
        let target = Self { gpu, partition: (number / PARTITION).checked_sub(1) };
        target.values().map(|_| target)
    }

    /// Those of this GPU.
    pub(crate) fn partitions(self) -> impl Iterator<Item = Self> {
        let list = self.values().and_then(|values| values.get("mig")).and_then(Value::as_array);
        (0..list.map_or(0, Vec::len)).map(move |at| Self { gpu: self.gpu, partition: Some(at) })
    }

    fn values(self) -> Option<&'static Map<String, Value>> {
        let gpu = PROFILE.as_ref()?.gpus.get(self.gpu)?;
        match self.partition {
            None => Some(gpu),
            Some(partition) => gpu.get("mig")?.get(partition)?.as_object(),
        }
    }

    /// The value for `call`, after its faults.
    pub(crate) fn ask(self, call: &str) -> Result<&'static Value, u32> {
        fault(call, Some(self.gpu))?;
        self.values().and_then(|values| values.get(call)).ok_or(NOT_SUPPORTED)
    }

    /// The entry `index` of the list `list`.
    pub(crate) fn entry(self, list: &str, index: u32) -> Option<&'static Value> {
        self.values()?.get(list)?.get(index as usize)
    }
}

/// A system's value.
pub(crate) fn system(call: &str) -> Result<&'static Value, u32> {
    fault(call, None)?;
    PROFILE.as_ref().and_then(|profile| profile.system.get(call)).ok_or(NOT_SUPPORTED)
}

/// Fails or hangs as the profile says.
pub(crate) fn fault(call: &str, gpu: Option<usize>) -> Result<(), u32> {
    let Some(profile) = PROFILE.as_ref() else { return Err(DRIVER_NOT_LOADED) };
    let count = {
        let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
        let count = calls.entry((call.to_owned(), gpu)).or_default();
        *count += 1;
        *count
    };
    let hit = |fault: &&Fault| {
        let of = fault.call == call && (fault.gpu.is_none() || fault.gpu == gpu);
        let number = count.checked_sub(fault.after + 1);
        of && number.is_some_and(|number| fault.times.is_none_or(|times| number < times))
    };
    match profile.faults.iter().find(hit) {
        Some(Fault { hang_s: Some(seconds), .. }) => {
            std::thread::sleep(Duration::from_secs(*seconds));
            Ok(())
        }
        Some(Fault { error: Some(error), .. }) => Err(*error),
        _ => Ok(()),
    }
}
