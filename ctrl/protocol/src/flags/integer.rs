//! Whole numbers as Go's `strconv.ParseInt(text, 0, …)` reads them: `0x10`,
//! `0b10`, `0o10`, `010` (octal), and `_` between digits.

pub(super) fn parse(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'+' => (false, &text[1..]),
        b'-' => (true, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = base(digits);
    if !underscores_fit(digits, base != 10) {
        return None;
    }
    let digits: String = digits.chars().filter(|&digit| digit != '_').collect();
    // What remains has no sign of its own.
    digits.starts_with(|digit: char| digit.is_ascii_alphanumeric()).then_some(())?;
    let number = i128::from_str_radix(&digits, base).ok()?;
    Some(if negative { -number } else { number })
}

/// The base that a prefix names, and what follows it. A lone zero is one.
fn base(digits: &str) -> (u32, &str) {
    let Some(rest) = digits.strip_prefix('0').filter(|rest| !rest.is_empty()) else {
        return (10, digits);
    };
    match rest.as_bytes()[0].to_ascii_lowercase() {
        b'x' => (16, &rest[1..]),
        b'o' => (8, &rest[1..]),
        b'b' => (2, &rest[1..]),
        _ => (8, rest),
    }
}

/// Each stands between two digits; a prefix counts as one.
fn underscores_fit(digits: &str, prefixed: bool) -> bool {
    let leads = digits.starts_with('_') && !prefixed;
    !leads && !digits.ends_with('_') && !digits.contains("__")
}

#[cfg(test)]
mod tests {
    use super::parse;

    /// From the tests of Go's `strconv`.
    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, number) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("+12345", Some(12345)),
            ("-12345", Some(-12345)),
            ("012345", Some(0o12345)),
            ("-0x12345", Some(-0x12345)),
            ("0X1F", Some(0x1f)),
            ("0b1010", Some(10)),
            ("0o17", Some(15)),
            ("1_2_3_4_5", Some(12345)),
            ("-0x_1_2_3_4_5", Some(-0x12345)),
            ("0_12_345", Some(0o12345)),
            ("0b_1010", Some(10)),
            ("", None),
            ("-", None),
            ("0x", None),
            ("098", None),
            ("12345x", None),
            ("_12345", None),
            ("1__2345", None),
            ("12345_", None),
            ("0x__12345", None),
            ("0x12345_", None),
            ("--5", None),
            ("0x-5", None),
            ("0-5", None),
            ("1.5", None),
            (" 5", None),
            ("ß", None),
        ] {
            assert_eq!(parse(text), number, "{text}");
        }
    }
}
