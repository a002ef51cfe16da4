//! Numbers and values as Python reads and prints them.
//!
//! The service that these files are written for is a Python program, and its
//! `str()` is visible to users: `true` becomes `True` in an environment, and
//! `1e20` becomes `1e+20`.

use std::fmt::Write as _;

/// `repr(float)`: the shortest digits that read back, with an exponent below
/// 1e-4 and from 1e16 on.
pub(in super::super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let mut plain = value.to_string();
    if !plain.contains('.') {
        plain.push_str(".0");
    }
    plain
}

/// `str(bool)`.
pub(in super::super) fn boolean(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// `repr(str)`: quotes and escapes.
pub(in super::super) fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// `int(text)`: blanks around, a sign, digits with single underscores between.
pub(in super::super) fn parse_int(text: &str) -> Option<i128> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    grouped_digits(digits)?;
    text.replace('_', "").parse().ok()
}

/// `float(text)`: as [`parse_int`], with a point, an exponent, `inf` or `nan`.
pub(in super::super) fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim();
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text).to_ascii_lowercase();
    if matches!(bare.as_str(), "inf" | "infinity" | "nan") {
        return text.parse().ok();
    }
    let (mantissa, exponent) = match bare.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (bare.as_str(), None),
    };
    if let Some(exponent) = exponent {
        grouped_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))?;
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    for side in [whole, fraction] {
        if !side.is_empty() {
            grouped_digits(side)?;
        }
    }
    text.replace('_', "").parse().ok()
}

fn grouped_digits(text: &str) -> Option<()> {
    let fine =
        text.split('_').all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    fine.then_some(())
}
