//! Times and sizes, in the service's exact shape: a metric that it refuses
//! would silence the connection.

use jiff::Timestamp;
use osmo_protocol::events::Phase;
use osmo_protocol::items::Owner;
use osmo_protocol::logger::{GroupMetricType, Metric};

use crate::flags::Flags;
use crate::logs::{Log, time_of_metric};
use crate::transfer::Moved;

/// Tells how long a phase of transfers took, and each transfer that moved
/// anything.
pub(crate) fn tell(flags: &Flags, log: &Log, phase: Phase, begin: Timestamp, moved: &[Moved]) {
    let download = phase == Phase::Download;
    log.metric(Metric::GroupMetrics {
        retry_id: flags.retry_id.clone(),
        start_time: time_of_metric(begin),
        end_time: time_of_metric(Timestamp::now()),
        type_of_metrics: match download {
            true => GroupMetricType::InputDownload,
            false => GroupMetricType::OutputUpload,
        },
    });
    for moved in moved.iter().filter(|moved| moved.bytes > 0) {
        log.metric(Metric::TaskIoMetrics {
            retry_id: flags.retry_id.clone(),
            group_name: flags.group.clone(),
            task_name: flags.task.clone(),
            url: moved.order.url.clone(),
            io_type: if download { "INPUT" } else { "OUTPUT" }.to_owned(),
            start_time: time_of_metric(moved.begin),
            end_time: time_of_metric(moved.end),
            size_in_bytes: moved.bytes,
            number_of_files: moved.files,
            operation_type: operation(moved.order.owner).to_owned(),
            download_type: if download { "download" } else { "N/A" }.to_owned(),
        });
    }
}

fn operation(owner: Owner) -> &'static str {
    match owner {
        Owner::Task => "Task",
        Owner::Url => "Url",
        Owner::Kpi => "Kpi",
    }
}
