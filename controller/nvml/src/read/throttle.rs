//! Why clocks are lowered.

use nvml_wrapper_sys::bindings::field_id;

use super::Asker;
use crate::{Throttle, ThrottleSeconds, raw};

const NANO: f64 = 1e9;

impl Asker<'_, '_> {
    /// The symbol that CUDA 13 names, or the older one.
    pub(super) fn throttle(&mut self) -> Option<Vec<Throttle>> {
        let bits = self.ask("throttle reasons", raw::clocks_event_reasons).or_else(|| {
            let reasons = self.ask("throttle reasons", |device| device.current_throttle_reasons());
            reasons.map(|reasons| reasons.bits())
        })?;
        let is_set = |at: usize| bits & (1 << at) != 0;
        let reasons = Throttle::ALL.into_iter().enumerate();
        Some(reasons.filter(|(at, _)| is_set(*at)).map(|(_, reason)| reason).collect())
    }

    /// By fields: the call that had these times is gone in CUDA 14.
    pub(super) fn throttle_seconds(&mut self) -> ThrottleSeconds {
        let mut seconds =
            |field: u32| self.field("throttle times", field).map(|nanos| nanos as f64 / NANO);
        ThrottleSeconds {
            power_cap: seconds(field_id::NVML_FI_DEV_PERF_POLICY_POWER),
            thermal: seconds(field_id::NVML_FI_DEV_PERF_POLICY_THERMAL),
            software_thermal: seconds(field_id::NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN),
            hardware_thermal: seconds(field_id::NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN),
            power_brake: seconds(field_id::NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN),
            sync_boost: seconds(field_id::NVML_FI_DEV_PERF_POLICY_SYNC_BOOST),
            board_limit: seconds(field_id::NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT),
            low_utilization: seconds(field_id::NVML_FI_DEV_PERF_POLICY_LOW_UTILIZATION),
            reliability: seconds(field_id::NVML_FI_DEV_PERF_POLICY_RELIABILITY),
        }
    }
}
