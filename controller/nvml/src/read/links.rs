//! NVLink, C2C and the fabric.

use nvml_wrapper::enum_wrappers::nv_link::ErrorCounter;
use nvml_wrapper_sys::bindings::field_id;

use super::groups::sysfs_bus_id;
use super::{ALL_LINKS, Asker};
use crate::{C2c, LINKS_MAX, NvLink, Traffic, raw};

const KIB: u64 = 1024;
const MB: u64 = 1_000_000;
/// A C2C link's state.
const ACTIVE: u64 = 1;

impl Asker<'_, '_> {
    pub(super) fn links(&mut self) {
        let links: Vec<NvLink> = (0..self.link_count()).filter_map(|i| self.link(i)).collect();
        let traffic = self.traffic(&links);
        self.show(|gpu| (gpu.nvlinks, gpu.nvlink_traffic) = (links, traffic));
        let c2c = self.c2c();
        self.show(|gpu| gpu.c2c = c2c);
        let fabric = self.ask("fabric", raw::fabric).flatten();
        self.show(|gpu| gpu.fabric = fabric);
    }

    fn link_count(&mut self) -> u32 {
        let count = self.field("NVLinks", field_id::NVML_FI_DEV_NVLINK_LINK_COUNT);
        let count = count.and_then(|count| u32::try_from(count).ok());
        // Older drivers do not count them; a link that is not there is refused.
        count.unwrap_or(LINKS_MAX).min(LINKS_MAX)
    }

    fn link(&mut self, index: u32) -> Option<NvLink> {
        let active = self.ask("NVLink state", |device| {
            use nvml_wrapper::error::NvmlError;
            match device.link_wrapper_for(index).is_active() {
                Err(NvmlError::InvalidArg) => Err(NvmlError::NotSupported),
                state => state,
            }
        })?;
        let mut count = |counter: ErrorCounter| {
            self.ask("NVLink errors", |device| {
                device.link_wrapper_for(index).error_counter(counter)
            })
        };
        let crc_errors = count(ErrorCounter::DlCrcFlit);
        let (replays, recoveries) =
            (count(ErrorCounter::DlReplay), count(ErrorCounter::DlRecovery));
        Some(NvLink {
            index,
            active,
            version: self.ask("NVLink version", |device| device.link_wrapper_for(index).version()),
            bytes_per_s: self.link_speed(index),
            peer_pci_bus_id: self
                .ask("NVLink peer", |device| device.link_wrapper_for(index).remote_pci_info())
                .map(|info| sysfs_bus_id(&info.bus_id)),
            peer: self
                .ask("NVLink peer", |device| raw::remote_device_type(device, index))
                .map(|kind| peer(kind).to_owned()),
            crc_errors,
            replays,
            recoveries,
        })
    }

    /// MB a second; older GPUs tell one speed for all links.
    fn link_speed(&mut self, index: u32) -> Option<u64> {
        let what = "NVLink speed";
        let own = self.field_of(what, field_id::NVML_FI_DEV_NVLINK_GET_SPEED, index);
        let speed =
            own.or_else(|| self.field(what, field_id::NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON));
        // A link that is down has none.
        speed.filter(|&mb| mb > 0).map(|mb| mb.saturating_mul(MB))
    }

    /// Data of all links, KiB; NVLink 5 counts bytes instead, a link at a time.
    fn traffic(&mut self, links: &[NvLink]) -> Traffic {
        let mut either = |kib: u32, bytes: u32| {
            let sum = self.field_of("NVLink traffic", kib, ALL_LINKS);
            sum.map(|kib| kib.saturating_mul(KIB)).or_else(|| {
                let up = links.iter().filter(|link| link.active);
                let each = up.map(|link| self.field_of("NVLink traffic", bytes, link.index));
                each.reduce(|sum, one| Some(sum?.saturating_add(one?)))?
            })
        };
        Traffic {
            transmit_bytes_total: either(
                field_id::NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX,
                field_id::NVML_FI_DEV_NVLINK_COUNT_XMIT_BYTES,
            ),
            receive_bytes_total: either(
                field_id::NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX,
                field_id::NVML_FI_DEV_NVLINK_COUNT_RCV_BYTES,
            ),
        }
    }

    fn c2c(&mut self) -> Option<C2c> {
        let links = self.field("C2C links", field_id::NVML_FI_DEV_C2C_LINK_COUNT)?;
        let links = u32::try_from(links).ok().filter(|&links| links > 0)?;
        let mut sum = |field, count: fn(u64) -> u64| {
            let mut one = |link| self.field_of("C2C links", field, link);
            let each: Vec<Option<u64>> = (0..links.min(LINKS_MAX)).map(&mut one).collect();
            each.into_iter().try_fold(0, |sum: u64, value| Some(sum.saturating_add(count(value?))))
        };
        let active = sum(field_id::NVML_FI_DEV_C2C_LINK_GET_STATUS, |s| (s == ACTIVE).into());
        let errors = sum(field_id::NVML_FI_DEV_C2C_LINK_ERROR_INTR, |count| count);
        let replays = sum(field_id::NVML_FI_DEV_C2C_LINK_ERROR_REPLAY, |count| count);
        let bandwidth = field_id::NVML_FI_DEV_C2C_LINK_GET_MAX_BW;
        let link_bytes_per_s_max =
            self.field("C2C bandwidth", bandwidth).map(|mb| mb.saturating_mul(MB));
        let links_active = active.and_then(|active| u32::try_from(active).ok());
        Some(C2c { links, links_active, link_bytes_per_s_max, errors, replays })
    }
}

/// NVML's numbers.
fn peer(kind: u32) -> &'static str {
    match kind {
        0 => "gpu",
        1 => "cpu",
        2 => "switch",
        _ => "unknown",
    }
}
