//! YAML 1.1 scalars: what a plain word means.
//!
//! The rules are the ones of the YAML 1.1 type repository as PyYAML's
//! `safe_load` applies them: `yes` is a boolean, `0755` is octal, `1:30` is
//! ninety, `1e3` is text.

use std::sync::LazyLock;

use fancy_regex::Regex;

use super::python;

/// A resolved scalar.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Scalar {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// A date or a time, kept as written: nothing in a workflow takes one.
    Date(String),
    Text(String),
}

struct Patterns {
    float: Regex,
    int: Regex,
    date: Regex,
}

static PATTERNS: LazyLock<Option<Patterns>> = LazyLock::new(|| {
    Some(Patterns {
        float: Regex::new(concat!(
            r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?",
            r"|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?",
            r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*",
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ))
        .ok()?,
        int: Regex::new(concat!(
            r"^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)",
            r"|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$"
        ))
        .ok()?,
        date: Regex::new(concat!(
            r"^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}",
            r"|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?(?:[Tt]|[ \t]+)[0-9][0-9]?",
            r":[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9]{2})?))?)$"
        ))
        .ok()?,
    })
});

/// What a plain (unquoted, untagged) scalar means; the error says why it means nothing.
pub(in super::super) fn resolve(text: &str) -> Result<Scalar, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Scalar::Null),
        "=" | "<<" => {
            return Err(format!("a lone `{text}` has a meaning of its own in YAML 1.1; quote it"));
        }
        _ => {}
    }
    if let Some(value) = boolean(text) {
        return Ok(Scalar::Bool(value));
    }
    let first = text.as_bytes().first().copied().unwrap_or(b' ');
    if !matches!(first, b'-' | b'+' | b'.' | b'0'..=b'9') {
        return Ok(Scalar::Text(text.to_owned()));
    }
    let Some(patterns) = PATTERNS.as_ref() else {
        return Ok(Scalar::Text(text.to_owned()));
    };
    let is = |pattern: &Regex| pattern.is_match(text).unwrap_or(false);
    if is(&patterns.float) {
        return float(text).map(Scalar::Float);
    }
    if is(&patterns.int) {
        return int(text).map(Scalar::Int);
    }
    if is(&patterns.date) {
        return Ok(Scalar::Date(text.to_owned()));
    }
    Ok(Scalar::Text(text.to_owned()))
}

/// What a scalar with an explicit core tag means.
pub(in super::super) fn tagged(tag: &str, text: &str) -> Result<Scalar, String> {
    let wrong = || format!("{} is no {tag}", python::quoted(text));
    match tag {
        "str" => Ok(Scalar::Text(text.to_owned())),
        "null" => Ok(Scalar::Null),
        "bool" => boolean(text).map(Scalar::Bool).ok_or_else(wrong),
        "int" => int(text).map(Scalar::Int).map_err(|_| wrong()),
        "float" => float(text).map(Scalar::Float).map_err(|_| wrong()),
        _ => Err(format!("the tag !!{tag} is not used in workflow files; remove it")),
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn int(text: &str) -> Result<i128, String> {
    let bare = text.replace('_', "");
    let (negative, digits) = match bare.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, bare.strip_prefix('+').unwrap_or(&bare)),
    };
    let value = if digits == "0" {
        Some(0)
    } else if let Some(binary) = digits.strip_prefix("0b") {
        i128::from_str_radix(binary, 2).ok()
    } else if let Some(hex) = digits.strip_prefix("0x") {
        i128::from_str_radix(hex, 16).ok()
    } else if let Some(octal) = digits.strip_prefix('0') {
        i128::from_str_radix(octal, 8).ok()
    } else {
        sexagesimal(digits)
    };
    let value = value.ok_or_else(|| format!("{text} is no number, or too large; quote it"))?;
    Ok(if negative { -value } else { value })
}

fn sexagesimal(digits: &str) -> Option<i128> {
    digits
        .split(':')
        .try_fold(0i128, |sum, part| sum.checked_mul(60)?.checked_add(part.parse().ok()?))
}

fn float(text: &str) -> Result<f64, String> {
    let bare = text.replace('_', "").to_ascii_lowercase();
    let (sign, digits) = match bare.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, bare.strip_prefix('+').unwrap_or(&bare)),
    };
    let value = match digits {
        ".inf" => Some(f64::INFINITY),
        ".nan" => Some(f64::NAN),
        _ => digits.split(':').try_fold(0.0, |sum: f64, part| {
            python::parse_float(part).map(|part| sum * 60.0 + part)
        }),
    };
    value.map(|value| sign * value).ok_or_else(|| format!("{text} is no number; quote it"))
}
