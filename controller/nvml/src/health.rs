//! From readings to a verdict.

use serde::{Deserialize, Serialize};

use crate::{Gpu, RecoveryAction};

/// XIDs that applications cause, not GPUs; Kubernetes' device plugin does not
/// count them either.
pub const XIDS_IGNORED: [u64; 6] = [13, 31, 43, 45, 68, 109];

/// How a GPU is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing speaks against it.
    #[default]
    Ok,
    /// It works, slower or with a warning.
    Degraded,
    /// Do not schedule on it.
    Bad,
}

/// The verdict and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// The worst of the reasons.
    pub verdict: Verdict,
    /// For people; empty when all is well.
    pub reasons: Vec<String>,
}

impl Health {
    /// Adds a reason.
    pub fn blame(&mut self, verdict: Verdict, reason: impl Into<String>) {
        self.verdict = self.verdict.max(verdict);
        self.reasons.push(reason.into());
    }
}

/// What `gpu`'s readings come to, besides what was blamed while reading.
pub fn judge(gpu: &Gpu) -> Health {
    let mut health = Health::default();
    let mut when = |is: bool, verdict, reason: String| {
        if is {
            health.blame(verdict, reason);
        }
    };
    let rows = &gpu.remapped_rows;
    when(rows.failure == Some(true), Verdict::Bad, "a row could not be remapped".into());
    when(rows.pending == Some(true), Verdict::Degraded, "rows wait for a reset".into());
    let errors = gpu.ecc.uncorrected_volatile.unwrap_or(0);
    when(errors > 0, Verdict::Degraded, format!("{errors} uncorrected memory errors since boot"));
    match gpu.recovery_action {
        None | Some(RecoveryAction::None) => {}
        Some(RecoveryAction::Other) => {
            when(true, Verdict::Degraded, "the driver advises an unknown action".into());
        }
        Some(action) => when(true, Verdict::Bad, format!("the driver advises {action:?}")),
    }
    for (xid, count) in &gpu.xid.counts {
        let ours = !XIDS_IGNORED.contains(xid);
        when(ours, Verdict::Bad, format!("XID {xid}, {count} times"));
    }
    when(gpu.xid.others > 0, Verdict::Bad, "more kinds of XID than are counted apart".into());
    if let Some(fabric) = &gpu.fabric {
        let error = fabric.state.as_deref() == Some("error");
        when(error, Verdict::Bad, "it could not join its NVLink fabric".into());
        let health = fabric.health.as_deref();
        when(health == Some("unhealthy"), Verdict::Bad, "the fabric is unhealthy".into());
        let limited = health == Some("limited_capacity");
        when(limited, Verdict::Degraded, "the fabric has limited capacity".into());
    }
    let down = gpu.nvlinks.iter().filter(|link| !link.active).count();
    let up = gpu.nvlinks.len() - down;
    // Without a fabric nothing may be plugged in.
    let wired = up > 0 || gpu.fabric.is_some();
    when(down > 0 && wired, Verdict::Degraded, format!("{down} NVLinks are down"));
    let narrow = gpu.pcie.width.zip(gpu.pcie.width_max).filter(|(now, most)| now < most);
    if let Some((now, most)) = narrow {
        when(true, Verdict::Degraded, format!("PCIe has {now} of {most} lanes"));
    }
    health
}
