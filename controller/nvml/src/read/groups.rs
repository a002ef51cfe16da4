//! Everything but links and partitions.

use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{
    Clock, EccCounter, MemoryError, PcieUtilCounter, TemperatureSensor, TemperatureThreshold,
};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper_sys::bindings::field_id;

use super::Asker;
use crate::{
    Clocks, Ecc, Identity, Memory, PROCESSES_MAX, Pcie, Power, Process, ProcessKind,
    RecoveryAction, RemappedRows, Temperature, Utilization,
};

const MILLI: f64 = 1000.0;
/// NVML's unit of PCIe throughput.
const KB: u64 = 1024;

impl Asker<'_, '_> {
    pub(super) fn identity(&mut self) -> Identity {
        Identity {
            uuid: self.ask("uuid", |device| device.uuid()),
            name: self.ask("name", |device| device.name()),
            serial: self.ask("serial", |device| device.serial()),
            brand: self.ask("brand", |device| device.brand()).map(|brand| format!("{brand:?}")),
            architecture: self
                .ask("architecture", |device| device.architecture())
                .map(|architecture| format!("{architecture:?}")),
            cuda_compute_capability: self
                .ask("compute capability", |device| device.cuda_compute_capability())
                .map(|version| format!("{}.{}", version.major, version.minor)),
            cores: self.ask("cores", |device| device.num_cores()),
            vbios_version: self.ask("VBIOS", |device| device.vbios_version()),
            pci_bus_id: self
                .ask("PCI address", |device| device.pci_info())
                .map(|info| sysfs_bus_id(&info.bus_id)),
            // From sysfs, where the node's other facts are read.
            numa_node: None,
            cpu_affinity: None,
        }
    }

    pub(super) fn groups(&mut self) {
        let memory = self.memory();
        self.show(|gpu| gpu.memory = memory);
        let utilization = self.utilization();
        self.show(|gpu| gpu.utilization = utilization);
        let activity = self.activity(None);
        self.show(|gpu| gpu.activity = activity);
        let (clocks, throttle) = (self.clocks(), self.throttle());
        self.show(|gpu| (gpu.clocks, gpu.throttle_reasons) = (clocks, throttle));
        let seconds = self.throttle_seconds();
        self.show(|gpu| gpu.throttle_seconds = seconds);
        let power = self.power();
        self.show(|gpu| gpu.power = power);
        let temperature = self.temperature();
        self.show(|gpu| gpu.temperature = temperature);
        let (ecc, rows) = (self.ecc(), self.remapped_rows());
        self.show(|gpu| (gpu.ecc, gpu.remapped_rows) = (ecc, rows));
        let action = self.field("recovery action", field_id::NVML_FI_DEV_GET_GPU_RECOVERY_ACTION);
        self.show(|gpu| gpu.recovery_action = action.map(recovery_action));
        let pcie = self.pcie();
        self.show(|gpu| gpu.pcie = pcie);
        let state = self.ask("performance state", |device| device.performance_state());
        let state = state.map(|state| format!("P{}", state.as_c()));
        self.show(|gpu| gpu.performance_state = state);
        let processes = self.processes();
        self.show(|gpu| gpu.processes = processes);
    }

    fn memory(&mut self) -> Memory {
        let memory = self.ask("memory", |device| device.memory_info());
        let bar1 = self.ask("BAR1 memory", |device| device.bar1_memory_info());
        Memory {
            total_bytes: memory.as_ref().map(|memory| memory.total),
            used_bytes: memory.as_ref().map(|memory| memory.used),
            free_bytes: memory.as_ref().map(|memory| memory.free),
            reserved_bytes: memory.as_ref().map(|memory| memory.reserved),
            bar1_total_bytes: bar1.as_ref().map(|bar1| bar1.total),
            bar1_used_bytes: bar1.as_ref().map(|bar1| bar1.used),
        }
    }

    fn utilization(&mut self) -> Utilization {
        let rates = self.ask("utilization", |device| device.utilization_rates());
        Utilization {
            gpu_percent: rates.as_ref().map(|rates| rates.gpu),
            memory_percent: rates.as_ref().map(|rates| rates.memory),
            encoder_percent: self
                .ask("encoder utilization", |device| device.encoder_utilization())
                .map(|info| info.utilization),
            decoder_percent: self
                .ask("decoder utilization", |device| device.decoder_utilization())
                .map(|info| info.utilization),
        }
    }

    fn clocks(&mut self) -> Clocks {
        let mut now = |clock: Clock| self.ask("clocks", |device| device.clock_info(clock));
        let (graphics, sm) = (now(Clock::Graphics), now(Clock::SM));
        let (memory, video) = (now(Clock::Memory), now(Clock::Video));
        let mut most =
            |clock: Clock| self.ask("most clocks", |device| device.max_clock_info(clock));
        Clocks {
            graphics_mhz: graphics,
            sm_mhz: sm,
            memory_mhz: memory,
            video_mhz: video,
            graphics_mhz_max: most(Clock::Graphics),
            sm_mhz_max: most(Clock::SM),
            memory_mhz_max: most(Clock::Memory),
            video_mhz_max: most(Clock::Video),
        }
    }

    fn power(&mut self) -> Power {
        let watts = |milliwatts: u32| f64::from(milliwatts) / MILLI;
        let limits = self.ask("power limits", |device| device.power_management_limit_constraints());
        Power {
            draw_watts: self.ask("power", |device| device.power_usage()).map(watts),
            limit_watts: self.ask("power limit", |device| device.enforced_power_limit()).map(watts),
            limit_watts_min: limits.as_ref().map(|limits| watts(limits.min_limit)),
            limit_watts_max: limits.as_ref().map(|limits| watts(limits.max_limit)),
            energy_joules: self
                .ask("energy", |device| device.total_energy_consumption())
                .map(|millijoules| millijoules as f64 / MILLI),
        }
    }

    fn temperature(&mut self) -> Temperature {
        let memory = self.field("memory temperature", field_id::NVML_FI_DEV_MEMORY_TEMP);
        let mut threshold = |which: TemperatureThreshold| {
            self.ask("temperature threshold", |device| device.temperature_threshold(which))
        };
        let slowdown = threshold(TemperatureThreshold::Slowdown);
        let shutdown = threshold(TemperatureThreshold::Shutdown);
        Temperature {
            gpu_celsius: self
                .ask("temperature", |device| device.temperature(TemperatureSensor::Gpu)),
            // GPUs without HBM answer 0.
            memory_celsius: memory.and_then(|value| u32::try_from(value).ok()).filter(|&c| c > 0),
            slowdown_celsius: slowdown,
            shutdown_celsius: shutdown,
        }
    }

    fn ecc(&mut self) -> Ecc {
        let mode = self.ask("ECC mode", |device| device.is_ecc_enabled());
        let mut count = |error: MemoryError, counter: EccCounter| {
            self.ask("ECC errors", |device| device.total_ecc_errors(error, counter))
        };
        Ecc {
            corrected_volatile: count(MemoryError::Corrected, EccCounter::Volatile),
            uncorrected_volatile: count(MemoryError::Uncorrected, EccCounter::Volatile),
            corrected_aggregate: count(MemoryError::Corrected, EccCounter::Aggregate),
            uncorrected_aggregate: count(MemoryError::Uncorrected, EccCounter::Aggregate),
            enabled: mode.as_ref().map(|mode| mode.currently_enabled),
            pending: mode.as_ref().map(|mode| mode.pending_enabled),
        }
    }

    fn remapped_rows(&mut self) -> RemappedRows {
        RemappedRows {
            correctable: self.field("remapped rows", field_id::NVML_FI_DEV_REMAPPED_COR),
            uncorrectable: self.field("remapped rows", field_id::NVML_FI_DEV_REMAPPED_UNC),
            pending: self
                .field("remapped rows", field_id::NVML_FI_DEV_REMAPPED_PENDING)
                .map(|value| value != 0),
            failure: self
                .field("remapped rows", field_id::NVML_FI_DEV_REMAPPED_FAILURE)
                .map(|value| value != 0),
        }
    }

    fn pcie(&mut self) -> Pcie {
        let mut rate = |counter: PcieUtilCounter| {
            let rate = self.ask("PCIe throughput", |device| device.pcie_throughput(counter));
            rate.map(|rate| u64::from(rate) * KB)
        };
        Pcie {
            transmit_bytes_per_s: rate(PcieUtilCounter::Send),
            receive_bytes_per_s: rate(PcieUtilCounter::Receive),
            generation: self.ask("PCIe generation", |device| device.current_pcie_link_gen()),
            width: self.ask("PCIe width", |device| device.current_pcie_link_width()),
            generation_max: self.ask("PCIe generation", |device| device.max_pcie_link_gen()),
            width_max: self.ask("PCIe width", |device| device.max_pcie_link_width()),
            replays: self.ask("PCIe replays", |device| device.pcie_replay_counter()).map(u64::from),
        }
    }

    /// `None` where no list is told.
    fn processes(&mut self) -> Option<Vec<Process>> {
        let mut list = |what, call: fn(&Device) -> Result<Vec<ProcessInfo>, NvmlError>| {
            self.ask(what, |device| again_if_it_grew(|| call(device)))
        };
        let lists = [
            (ProcessKind::Compute, list("compute processes", |d| d.running_compute_processes())),
            (ProcessKind::Graphics, list("graphics processes", |d| d.running_graphics_processes())),
            (ProcessKind::Mps, list("MPS processes", |d| d.mps_running_compute_processes())),
        ];
        if lists.iter().all(|(_, list)| list.is_none()) {
            return None;
        }
        let processes = lists.into_iter().flat_map(|(kind, list)| {
            list.unwrap_or_default().into_iter().map(move |info| process(kind, &info))
        });
        Some(processes.take(PROCESSES_MAX).collect())
    }
}

/// A list may outgrow the room that was made for it a moment before.
fn again_if_it_grew<T>(mut call: impl FnMut() -> Result<T, NvmlError>) -> Result<T, NvmlError> {
    const TRIES: usize = 4;
    let mut outcome = call();
    for _ in 1..TRIES {
        if !matches!(outcome, Err(NvmlError::InsufficientSize(_))) {
            break;
        }
        outcome = call();
    }
    outcome
}

fn process(kind: ProcessKind, info: &ProcessInfo) -> Process {
    let used_bytes = match info.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    };
    Process { pid: info.pid, name: None, kind, used_bytes }
}

fn recovery_action(value: u64) -> RecoveryAction {
    match value {
        0 => RecoveryAction::None,
        1 => RecoveryAction::GpuReset,
        2 => RecoveryAction::NodeReboot,
        3 => RecoveryAction::DrainPeers,
        4 => RecoveryAction::DrainAndReset,
        5 => RecoveryAction::RecoverDomain,
        6 => RecoveryAction::BusReset,
        7 => RecoveryAction::SystemReboot,
        _ => RecoveryAction::Other,
    }
}

/// NVML writes eight digits of domain in capitals, sysfs four in small letters.
pub(crate) fn sysfs_bus_id(bus_id: &str) -> String {
    let lower = bus_id.to_ascii_lowercase();
    match lower.split_once(':') {
        Some((domain, rest)) if domain.len() == 8 && domain.starts_with("0000") => {
            format!("{}:{rest}", &domain[4..])
        }
        _ => lower,
    }
}
