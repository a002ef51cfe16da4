//! Reading metrics. Almost any wrong value silences the connection; an unknown
//! kind, an unknown phase or a URL that is no storage URI drops it.

use super::message::Fault;
use super::time::{self, Time};
use crate::service::store::{TaskIo, TaskTimes};
use serde_json::{Map, Value};

const DOWNLOAD_TYPES: [&str; 5] =
    ["download", "mountpoint-s3", "mountpoint-s3-fallback", "mountpoint-s3-failed", "N/A"];
/// Storage schemes, and how many path segments name the container.
const SCHEMES: [(&str, usize); 5] =
    [("s3://", 0), ("gs://", 0), ("azure://", 1), ("swift://", 2), ("tos://", 1)];
const GIB: f64 = (1u64 << 30) as f64;

/// A metric that passed.
#[derive(Debug, PartialEq)]
pub(crate) enum Metric {
    Group(GroupTimes),
    TaskIo(TaskIo),
}

/// Begin and end of one phase.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GroupTimes {
    start: String,
    end: String,
    upload: bool,
}

impl GroupTimes {
    pub(super) fn apply(self, times: &mut TaskTimes) {
        let (start, end) = if self.upload {
            (&mut times.output_upload_start_time, &mut times.output_upload_end_time)
        } else {
            (&mut times.input_download_start_time, &mut times.input_download_end_time)
        };
        *start = Some(self.start);
        *end = Some(self.end);
    }
}

pub(super) fn read(kind: &str, value: &Value) -> Result<Metric, Fault> {
    let known = matches!(kind, "group_metrics" | "task_io_metrics");
    if !known {
        return Err(Fault::drop("unknown MetricType"));
    }
    let object = value.as_object().ok_or_else(|| Fault::drop("Metric is no object"))?;
    if kind == "group_metrics" { group(object) } else { task_io(object).map(Metric::TaskIo) }
}

fn group(object: &Map<String, Value>) -> Result<Metric, Fault> {
    let mut reader = Reader { object, read: 0 };
    reader.integer("retry_id")?;
    let start = reader.time("start_time")?.database();
    let end = reader.time("end_time")?.database();
    let phase = reader.text("type_of_metrics")?;
    reader.nothing_more()?;
    let upload = match phase.as_str() {
        "input_download" => false,
        "output_upload" => true,
        _ => return Err(Fault::drop("unknown type_of_metrics")),
    };
    Ok(Metric::Group(GroupTimes { start, end, upload }))
}

fn task_io(object: &Map<String, Value>) -> Result<TaskIo, Fault> {
    let mut reader = Reader { object, read: 0 };
    let retry_id = reader.integer("retry_id")?;
    let group_name = reader.name("group_name")?;
    let task_name = reader.name("task_name")?;
    let url = reader.text("url")?;
    let kind = reader.text("type")?;
    let start_time = reader.time("start_time")?.database();
    let end_time = reader.time("end_time")?.database();
    let bytes = reader.integer("size_in_bytes")?;
    let number_of_files = if object.contains_key("number_of_files") {
        reader.integer("number_of_files")?
    } else {
        0
    };
    let operation_type = reader.text("operation_type")?;
    let download_type = reader.text("download_type")?;
    reader.nothing_more()?;
    if !DOWNLOAD_TYPES.contains(&download_type.as_str()) {
        return Err(Fault::silence("unknown download_type"));
    }
    let size = u32::try_from(bytes >> 32)
        .map(|high| (f64::from(high) * 4_294_967_296.0 + f64::from(low_half(bytes))) / GIB)
        .map_err(|_| Fault::silence("size_in_bytes is negative"))?;
    let storage_bucket =
        bucket(&url).ok_or_else(|| Fault::drop("url is no storage URI"))?.to_owned();
    Ok(TaskIo {
        group_name,
        task_name,
        retry_id,
        url,
        kind,
        storage_bucket,
        start_time,
        end_time,
        size,
        operation_type,
        download_type,
        number_of_files,
    })
}

fn low_half(bytes: i64) -> u32 {
    let [a, b, c, d, ..] = bytes.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The part of a storage URI that names the container; empty for empty.
fn bucket(url: &str) -> Option<&str> {
    if url.is_empty() {
        return Some(url);
    }
    let (scheme, segments) = SCHEMES.iter().find(|(scheme, _)| url.starts_with(scheme))?;
    let path = &url[scheme.len()..];
    let mut ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let end = ends.nth(*segments)?;
    (end > 0).then(|| &url[..scheme.len() + end])
}

/// Takes the keys of a metric one by one; every key must be taken.
struct Reader<'a> {
    object: &'a Map<String, Value>,
    read: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, key: &str) -> Result<&'a Value, Fault> {
        self.read += 1;
        self.object.get(key).ok_or_else(|| Fault::silence(format!("the metric has no {key}")))
    }

    fn text(&mut self, key: &str) -> Result<String, Fault> {
        let text = self.take(key)?.as_str().map(str::to_owned);
        text.ok_or_else(|| Fault::silence(format!("{key} is not text")))
    }

    /// A whole number, also as text or with an empty fraction.
    fn integer(&mut self, key: &str) -> Result<i64, Fault> {
        let number = match self.take(key)? {
            Value::String(text) => text.trim().parse().ok(),
            Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            _ => None,
        };
        number.ok_or_else(|| Fault::silence(format!("{key} is no whole number")))
    }

    fn time(&mut self, key: &str) -> Result<Time, Fault> {
        let value = self.take(key)?;
        time::normalise(value).ok_or_else(|| Fault::silence(format!("{key} is no time")))
    }

    fn name(&mut self, key: &str) -> Result<String, Fault> {
        let name = self.text(key)?;
        if is_name(&name) { Ok(name) } else { Err(Fault::silence(format!("{key} is no name"))) }
    }

    fn nothing_more(&self) -> Result<(), Fault> {
        if self.read == self.object.len() {
            Ok(())
        } else {
            Err(Fault::silence("the metric has a key too many"))
        }
    }
}

fn whole(number: f64) -> Option<i64> {
    if number.fract() == 0.0 { format!("{number:.0}").parse().ok() } else { None }
}

/// `^[a-zA-Z]([a-zA-Z0-9_-]*[a-zA-Z0-9])?$`
fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(inner)
}
