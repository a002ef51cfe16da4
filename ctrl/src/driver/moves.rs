//! The phases of transfers: begun by an effect, booked as they end.

use std::sync::Arc;

use jiff::Timestamp;
use osmo_protocol::events::Phase;

use super::Driver;
use crate::lifecycle::Event;
use crate::transfer::outputs::Early;
use crate::transfer::{Transferred, Transfers};
use crate::{guard, metrics};

/// A phase of transfers that is over.
pub(super) struct Done {
    phase: Phase,
    begin: Timestamp,
    result: Transferred,
}

impl Driver {
    /// Books a phase of transfers and makes an event of it.
    pub(super) fn settle(&mut self, done: Done) -> Event {
        let Transferred { moved, failure } = done.result;
        self.account.add(&moved);
        metrics::tell(&self.flags, &self.log, done.phase, done.begin, &moved);
        self.moving.send_modify(|phases| *phases -= 1);
        match (done.phase, failure) {
            (Phase::Download, None) => Event::InputsReady,
            (Phase::Download, Some(failure)) => Event::InputsFailed(failure),
            (_, None) => Event::OutputsSaved,
            (_, Some(failure)) => Event::OutputsFailed(failure),
        }
    }

    pub(super) fn transfers(&self) -> Transfers {
        Transfers {
            mover: Arc::clone(&self.mover),
            flags: Arc::clone(&self.flags),
            log: self.log.clone(),
            cancelled: self.cancel.subscribe(),
            resume: self.memory.is_resumed(),
            sent: self.memory.sent(),
            journal: self.memory.journal(),
        }
    }

    pub(super) fn transfer(&mut self, phase: Phase) {
        let (transfers, watch) = (self.transfers(), self.watch.take());
        let (inputs, outputs) = (self.items.inputs.clone(), self.items.outputs.clone());
        let done = self.transferred.0.clone();
        self.moving.send_modify(|phases| *phases += 1);
        tokio::spawn(async move {
            let begin = Timestamp::now();
            let moving = guard::caught(async {
                match phase {
                    Phase::Download => transfers.download(inputs, &outputs).await,
                    _ => {
                        let early = match watch {
                            Some(watch) => watch.end().await,
                            None => Vec::new(),
                        };
                        with_early(transfers.upload(outputs).await, &early)
                    }
                }
            });
            let result = moving.await.unwrap_or_else(|failure| Transferred {
                failure: Some(failure),
                ..Transferred::default()
            });
            let _ = done.send(Done { phase, begin, result }).await;
        });
    }
}

/// Counts what went up before the end to where it went.
fn with_early(mut all: Transferred, early: &[Early]) -> Transferred {
    for moved in &mut all.moved {
        let same = early.iter().filter(|early| {
            early.url == moved.order.url && moved.order.owner != osmo_protocol::items::Owner::Kpi
        });
        for Early { bytes, files, .. } in same {
            (moved.bytes, moved.files) = (moved.bytes + bytes, moved.files + files);
        }
    }
    all
}
