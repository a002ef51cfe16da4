//! Partitions.

use std::collections::BTreeMap;

use nvml_wrapper::error::NvmlError;

use super::Asker;
use crate::{Activity, Memory, Mig, MigInstance, raw};

impl Asker<'_, '_> {
    pub(super) fn partitions(&mut self) {
        let Some(mode) = self.ask("MIG mode", |device| device.mig_mode()) else { return };
        let mut mig =
            Mig { enabled: mode.current != 0, pending: mode.pending != 0, instances: Vec::new() };
        if mig.enabled {
            let most = self.ask("MIG count", |device| device.mig_device_count()).unwrap_or(0);
            let mut seen = BTreeMap::new();
            mig.instances = (0..most).filter_map(|index| self.instance(index, &mut seen)).collect();
        }
        self.show(|gpu| gpu.mig = Some(mig));
    }

    /// Compute instances of one GPU instance share what is `seen` of it.
    fn instance(&mut self, index: u32, seen: &mut BTreeMap<u32, Activity>) -> Option<MigInstance> {
        let parent = self.device;
        let partition =
            self.ask("MIG instance", |_| match parent.mig_device_by_index(index) {
                // Nobody sits at this place.
                Err(NvmlError::NotFound | NvmlError::InvalidArg) => Ok(None),
                found => found.map(Some),
            })??;
        let memory = self.ask_about(&partition, "MIG memory", |device| device.memory_info());
        let attributes = self.ask_about(&partition, "MIG size", |device| device.attributes());
        let (gpu_instance, compute_instance) = raw::instance_ids(&partition);
        Some(MigInstance {
            index,
            activity: gpu_instance.map_or_else(Activity::default, |number| {
                *seen.entry(number).or_insert_with(|| self.activity(Some(number)))
            }),
            uuid: self.ask_about(&partition, "MIG uuid", |device| device.uuid()),
            name: self.ask_about(&partition, "MIG name", |device| device.name()),
            memory: Memory {
                total_bytes: memory.as_ref().map(|memory| memory.total),
                used_bytes: memory.as_ref().map(|memory| memory.used),
                free_bytes: memory.as_ref().map(|memory| memory.free),
                reserved_bytes: memory.as_ref().map(|memory| memory.reserved),
                ..Memory::default()
            },
            multiprocessors: attributes.as_ref().map(|size| size.multiprocessor_count),
            gpu_slices: attributes.as_ref().map(|size| size.gpu_instance_slice_count),
            compute_slices: attributes.as_ref().map(|size| size.compute_instance_slice_count),
            gpu_instance,
            compute_instance,
        })
    }
}
