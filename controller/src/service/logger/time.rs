//! Times as the real service reads and writes them: ISO 8601 with `T`, space
//! or underscore, offset or none, or seconds since 1970 as number or text;
//! cut (not rounded) to microseconds.

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::Value;

/// Larger numbers are milliseconds.
const SECONDS_MAX: f64 = 2e10;

/// A time with the offset that came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time {
    local: DateTime,
    offset: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offset {
    None,
    Utc,
    Minutes(i32),
}

/// Reads a value; `None` when it is no time.
pub(super) fn normalise(value: &Value) -> Option<Time> {
    match value {
        Value::Number(number) => from_unix(number.as_f64()?),
        Value::String(text) => from_text(text).or_else(|| from_unix(text.parse().ok()?)),
        _ => None,
    }
}

impl Time {
    /// `2026-01-02T03:04:05.123456Z`; the fraction only when there is one.
    pub(super) fn iso(&self) -> String {
        let offset = match self.offset {
            Offset::None => String::new(),
            Offset::Utc => "Z".to_owned(),
            Offset::Minutes(minutes) => {
                let sign = if minutes < 0 { '-' } else { '+' };
                let minutes = minutes.abs();
                format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        };
        format!("{}{}{offset}", self.local.strftime("%Y-%m-%dT%H:%M:%S"), self.fraction())
    }

    /// `2026-01-02 03:04:05`, as the database writes a time in UTC.
    pub(super) fn database(&self) -> String {
        let minutes = if let Offset::Minutes(minutes) = self.offset { minutes } else { 0 };
        let shift = jiff::Span::new().minutes(minutes);
        let utc = self.local.checked_sub(shift).unwrap_or(self.local);
        format!("{}{}", utc.strftime("%Y-%m-%d %H:%M:%S"), self.fraction())
    }

    fn fraction(&self) -> String {
        match self.local.subsec_nanosecond() / 1000 {
            0 => String::new(),
            micros => format!(".{micros:06}"),
        }
    }
}

fn from_unix(number: f64) -> Option<Time> {
    let seconds = if number.abs() > SECONDS_MAX { number / 1e3 } else { number };
    if !seconds.is_finite() {
        return None;
    }
    let duration = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
    let stamp = Timestamp::from_duration(duration).ok()?;
    Some(Time { local: jiff::tz::Offset::UTC.to_datetime(stamp), offset: Offset::Utc })
}

fn from_text(text: &str) -> Option<Time> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' ', '_'])?;
    let (clock, offset) = split_offset(rest)?;
    let plain = |text: &str, extra: &[u8]| {
        text.bytes().all(|byte| byte.is_ascii_digit() || extra.contains(&byte))
    };
    if clock.as_bytes().get(2) != Some(&b':') || !plain(date, b"-") || !plain(clock, b":.") {
        return None;
    }
    let local: DateTime = format!("{date}T{clock}").parse().ok()?;
    Some(Time { local, offset })
}

fn split_offset(text: &str) -> Option<(&str, Offset)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, Offset::Utc));
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, Offset::None)) };
    let (clock, offset) = text.split_at(at);
    let digits: String = offset[1..].chars().filter(|c| *c != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = digits.split_at(2);
    let total = hours.parse::<i32>().ok()? * 60 + minutes.parse::<i32>().ok()?;
    let signed = if offset.starts_with('-') { -total } else { total };
    (total < 24 * 60)
        .then_some((clock, if total == 0 { Offset::Utc } else { Offset::Minutes(signed) }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "yesterday",
            "2026-01-02",
            "2026-13-02T03:04:05Z",
            "2026-02-30T03:04:05Z",
            "2026-01-02T25:04:05Z",
            "2026-01-02T030405Z",
            "2026-01-02T03:04:05[UTC]",
            "2026-01-02T03:04:05+99:00",
            "2026-01-02T03:04:05+1",
            "2026-01-02é03:04:05",
            "nan",
            "inf",
            "1e300",
        ] {
            assert_eq!(normalise(&Value::from(text)), None, "{text}");
        }
        for value in [Value::Null, Value::Bool(true), serde_json::json!([1])] {
            assert_eq!(normalise(&value), None, "{value}");
        }
    }

    /// 2026-01-02T03:04:05Z is 1767323045 (`date -u -d @1767323045`).
    #[test]
    fn seconds_and_milliseconds() {
        for number in [serde_json::json!(1_767_323_045), serde_json::json!(1_767_323_045_000_i64)] {
            assert_eq!(normalise(&number).unwrap().iso(), "2026-01-02T03:04:05Z");
        }
    }

    #[test]
    fn the_database_keeps_utc() {
        let time = normalise(&Value::from("2026-01-02T05:04:05.5+02:00")).unwrap();
        assert_eq!(time.database(), "2026-01-02 03:04:05.500000");
    }
}
