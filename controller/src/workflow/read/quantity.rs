//! Durations, sizes and exit codes.

use std::time::Duration;

use super::super::diagnostic::Sink;
use super::super::model::{ExitAction, ExitActions};
use super::super::text::scalar::Scalar;
use super::super::text::yaml::Value;
use super::cursor::Cursor;

const DURATION_REMEDY: &str = "write a whole number and a unit (30s, 15m, 2h, 7d), seconds as a \
                               bare number, or ISO 8601 (PT1H30M)";
const SIZE_REMEDY: &str =
    "write a number and a unit without a blank: 512Mi, 16Gi, 1Ti, or a bare number of bytes";
const CODES_REMEDY: &str = "write codes and ranges without blanks: 0 or 1-10 or 1,3,10-20";

/// A duration. `bool_counts`: time-outs read a boolean as 1 or 0 seconds.
pub(super) fn duration(at: &Cursor<'_>, bool_counts: bool, sink: &mut Sink) -> Option<Duration> {
    let (negative, value) = match &at.node.value {
        Value::Scalar(Scalar::Int(value)) => (*value < 0, seconds(value.unsigned_abs())),
        Value::Scalar(Scalar::Float(value)) => {
            (*value < 0.0, Duration::try_from_secs_f64(value.abs()).ok())
        }
        Value::Scalar(Scalar::Bool(value)) if bool_counts => {
            (false, Some(Duration::from_secs(u64::from(*value))))
        }
        Value::Scalar(Scalar::Text(text)) => match text.strip_prefix('-') {
            Some(rest) => (true, parse_duration(rest)),
            None => (false, parse_duration(text)),
        },
        _ => (false, None),
    };
    let Some(value) = value else {
        return at.expected(sink, "a duration", DURATION_REMEDY);
    };
    if negative && !value.is_zero() {
        sink.warn(at.place(), &at.path, "a negative duration is read as 0", "");
        return Some(Duration::ZERO);
    }
    Some(value)
}

fn seconds(value: u128) -> Option<Duration> {
    u64::try_from(value).ok().map(Duration::from_secs)
}

fn parse_duration(text: &str) -> Option<Duration> {
    if let Some(iso) = text.strip_prefix('P') {
        return parse_iso(iso);
    }
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(end);
    let count: u64 = digits.parse().ok()?;
    match unit.trim_start() {
        "d" => count.checked_mul(86_400).map(Duration::from_secs),
        "h" => count.checked_mul(3_600).map(Duration::from_secs),
        "m" => count.checked_mul(60).map(Duration::from_secs),
        "s" => Some(Duration::from_secs(count)),
        "ms" => Some(Duration::from_millis(count)),
        "us" => Some(Duration::from_micros(count)),
        _ => None,
    }
}

/// What follows the `P`: `1D`, `T1H30M`, `1DT10.5S`, `2W`.
fn parse_iso(text: &str) -> Option<Duration> {
    let (date, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None => (text, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let days = iso_fields(date, &[('W', 604_800.0), ('D', 86_400.0)])?;
    let hours = iso_fields(time, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)])?;
    Duration::try_from_secs_f64(days + hours).ok()
}

fn iso_fields(mut text: &str, units: &[(char, f64)]) -> Option<f64> {
    let mut sum = 0.0;
    for &(unit, scale) in units {
        if let Some((number, rest)) = text.split_once(unit) {
            let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            sum += number.parse::<f64>().ok().filter(|_| plain)? * scale;
            text = rest;
        }
    }
    text.is_empty().then_some(sum)
}

/// A number of bytes; all units are binary.
pub(super) fn bytes(at: &Cursor<'_>, sink: &mut Sink) -> Option<u64> {
    let text = at.text(sink)?;
    let parsed = parse_bytes(&text.text);
    parsed.or_else(|| at.expected(sink, "a size in bytes", SIZE_REMEDY))
}

fn parse_bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale: u128 = match unit {
        "" | "B" | "m" => 1,
        "K" | "Ki" | "KiB" => 1 << 10,
        "M" | "Mi" | "MiB" => 1 << 20,
        "G" | "Gi" | "GiB" => 1 << 30,
        "T" | "Ti" | "TiB" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (number, ""),
    };
    let fraction = fraction.get(..fraction.len().min(12))?;
    let mut total = whole.parse::<u128>().ok()?.checked_mul(scale)?;
    if !fraction.is_empty() {
        let places = u32::try_from(fraction.len()).ok()?;
        total += (fraction.parse::<u128>().ok()? * scale).div_ceil(10u128.pow(places));
    }
    if unit == "m" {
        total = total.div_ceil(1000);
    }
    u64::try_from(total).ok()
}

/// `exitActions`.
pub(super) fn exit_actions(at: &Cursor<'_>, sink: &mut Sink) -> ExitActions {
    let mut ranges = Vec::new();
    for (entry, value) in at.entries(sink) {
        let action = match entry.key.to_ascii_uppercase().as_str() {
            "COMPLETE" => Some(ExitAction::Complete),
            "FAIL" => Some(ExitAction::Fail),
            "RESCHEDULE" => Some(ExitAction::Reschedule),
            other => {
                let remedy = match other {
                    "RESTART" => "write RESCHEDULE",
                    _ => "the actions are COMPLETE, FAIL and RESCHEDULE",
                };
                sink.error(entry.place, &value.path, "Invalid exit action", remedy);
                None
            }
        };
        let codes = match &value.node.value {
            Value::Scalar(Scalar::Text(text)) => parse_codes(text),
            Value::Scalar(Scalar::Int(code)) => u64::try_from(*code).ok().map(|c| vec![(c, c)]),
            _ => None,
        };
        let Some(codes) = codes else {
            value.error(
                sink,
                format!("Invalid exit codes: found {}", value.node.kind()),
                CODES_REMEDY,
            );
            continue;
        };
        if let Some(action) = action {
            ranges.extend(codes.into_iter().map(|(first, last)| (action, first, last)));
        }
    }
    ExitActions { ranges }
}

fn parse_codes(text: &str) -> Option<Vec<(u64, u64)>> {
    let code = |text: &str| -> Option<u64> {
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
    };
    text.split(',')
        .map(|part| match part.split_once('-') {
            Some((first, last)) => Some((code(first)?, code(last)?)),
            None => code(part).map(|only| (only, only)),
        })
        .collect()
}
