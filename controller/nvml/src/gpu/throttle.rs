//! Why the clocks are lower than they could be, and for how long they were.

use serde::{Deserialize, Serialize};

/// A reason of NVML's bit mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    /// Nothing to do.
    Idle,
    /// Set by an application.
    ApplicationClocks,
    /// The power limit.
    PowerCap,
    /// Hardware: too hot, too much power, or braked.
    HardwareSlowdown,
    /// Kept in step with other GPUs.
    SyncBoost,
    /// Too hot, by the driver's measure.
    SoftwareThermal,
    /// Too hot, by the hardware's.
    HardwareThermal,
    /// The power supply asked for it.
    PowerBrake,
    /// The display's clocks.
    Display,
    /// The board's limit.
    BoardLimit,
    /// Kept low for reliability.
    Reliability,
}

impl Throttle {
    /// In the order of NVML's bits, from the lowest.
    pub const ALL: [Self; 11] = [
        Self::Idle,
        Self::ApplicationClocks,
        Self::PowerCap,
        Self::HardwareSlowdown,
        Self::SyncBoost,
        Self::SoftwareThermal,
        Self::HardwareThermal,
        Self::PowerBrake,
        Self::Display,
        Self::BoardLimit,
        Self::Reliability,
    ];

    /// As the report writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::ApplicationClocks => "application_clocks",
            Self::PowerCap => "power_cap",
            Self::HardwareSlowdown => "hardware_slowdown",
            Self::SyncBoost => "sync_boost",
            Self::SoftwareThermal => "software_thermal",
            Self::HardwareThermal => "hardware_thermal",
            Self::PowerBrake => "power_brake",
            Self::Display => "display",
            Self::BoardLimit => "board_limit",
            Self::Reliability => "reliability",
        }
    }
}

/// Seconds for which a reason held since the driver was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThrottleSeconds {
    /// The power limit.
    pub power_cap: Option<f64>,
    /// Too hot, by either measure.
    pub thermal: Option<f64>,
    /// Too hot, by the driver's measure.
    pub software_thermal: Option<f64>,
    /// Too hot, by the hardware's.
    pub hardware_thermal: Option<f64>,
    /// The power supply asked for it.
    pub power_brake: Option<f64>,
    /// Kept in step with other GPUs.
    pub sync_boost: Option<f64>,
    /// The board's limit.
    pub board_limit: Option<f64>,
    /// Too little to do.
    pub low_utilization: Option<f64>,
    /// Kept low for reliability.
    pub reliability: Option<f64>,
}

impl ThrottleSeconds {
    /// With the reasons' names.
    pub fn named(&self) -> [(&'static str, Option<f64>); 9] {
        [
            ("power_cap", self.power_cap),
            ("thermal", self.thermal),
            ("software_thermal", self.software_thermal),
            ("hardware_thermal", self.hardware_thermal),
            ("power_brake", self.power_brake),
            ("sync_boost", self.sync_boost),
            ("board_limit", self.board_limit),
            ("low_utilization", self.low_utilization),
            ("reliability", self.reliability),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::Throttle;

    #[test]
    fn the_report_writes_the_names() {
        for reason in Throttle::ALL {
            assert_eq!(serde_json::to_value(reason).ok(), Some(reason.name().into()));
        }
    }
}
