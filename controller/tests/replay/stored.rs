//! What the service keeps, in the recordings' words.

use super::{WATCHDOG, t};
use osmo_controller::service::LocalService;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Waits until the store says what was recorded.
pub(crate) async fn expect(service: &LocalService, what: &str, wanted: &[&str]) {
    let begin = Instant::now();
    loop {
        let got = read(service, what);
        match compare(what, wanted, &got) {
            Ok(()) => return,
            Err(problem) => assert!(begin.elapsed() < WATCHDOG, "{what}: {problem}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn read(service: &LocalService, what: &str) -> Vec<Value> {
    let ledger = service.ledger();
    let t1 = t("t1");
    let text = |entry: Option<&osmo_controller::service::LogEntry>| {
        entry.map(|entry| Value::from(&*entry.text)).into_iter().collect::<Vec<_>>()
    };
    match what {
        "wf-1-logs" => {
            let entries = ledger.workflow_logs("wf-1");
            entries.iter().map(|entry| serde_json::to_value(entry).unwrap()).collect()
        }
        "tasks.last_heartbeat" => {
            vec![ledger.heartbeat(&t1).map_or(Value::Null, |_| Value::from("set"))]
        }
        "tasks" => vec![serde_json::to_value(ledger.times(&t1)).unwrap()],
        "task_io" => {
            let rows = ledger.task_io("wf-1");
            rows.iter().map(|row| serde_json::to_value(row).unwrap()).collect()
        }
        "XLEN wf-1-logs" => vec![json!(ledger.workflow_logs("wf-1").len())],
        "first of wf-1-logs" => text(ledger.workflow_logs("wf-1").first()),
        "XLEN wf-1-t1-0-logs" => vec![json!(ledger.task_logs(&t1).len())],
        "first of wf-1-t1-0-logs" => text(ledger.task_logs(&t1).first()),
        "length of the last text" => {
            vec![json!(ledger.workflow_logs("wf-1").last().map_or(0, |e| e.text.chars().count()))]
        }
        other => panic!("unknown store {other}"),
    }
}

fn compare(what: &str, wanted: &[&str], got: &[Value]) -> Result<(), String> {
    // Redis trims in its own steps: the recorded length is one of many.
    match what {
        "XLEN wf-1-t1-0-logs" => {
            let kept = got[0].as_u64().unwrap_or_default();
            let fine = (1000..=1100).contains(&kept);
            return if fine { Ok(()) } else { Err(format!("{kept} lines are kept")) };
        }
        "first of wf-1-t1-0-logs" => {
            let first = got[0].as_str().and_then(|text| text.strip_prefix("line "));
            let first: u64 = first.and_then(|number| number.parse().ok()).unwrap_or_default();
            let fine = (400..=500).contains(&first);
            return if fine { Ok(()) } else { Err(format!("line {first} is the first")) };
        }
        _ => {}
    }
    let parse = |text: &&str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(*text));
    let mut wanted: Vec<Value> = wanted.iter().map(parse).map(none_is_null).collect();
    let mut got = got.to_vec();
    if what == "task_io" {
        // Rows of a table have no order.
        wanted.sort_by_key(Value::to_string);
        got.sort_by_key(Value::to_string);
    }
    if wanted == got { Ok(()) } else { Err(format!("wanted {wanted:#?}, got {got:#?}")) }
}

/// The recorder wrote an absent time as `None`.
fn none_is_null(mut row: Value) -> Value {
    if let Some(object) = row.as_object_mut() {
        for value in object.values_mut().filter(|value| *value == "None") {
            *value = Value::Null;
        }
    }
    row
}
