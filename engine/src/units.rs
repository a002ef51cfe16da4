//! Sizes and times as a person reads and writes them.

/// Bytes with a binary unit: `512 B`, `1.5 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // Figures for people: 53 bits are plenty.
    #[allow(clippy::cast_precision_loss)]
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `12 ms`, `3.42 s`, `2 min 05 s`.
pub fn seconds(count: f64) -> String {
    if count < 0.0995 {
        format!("{:.0} ms", count * 1000.0)
    } else if count < 119.995 {
        format!("{count:.2} s")
    } else {
        let whole = count.round();
        format!("{:.0} min {:02.0} s", (whole / 60.0).floor(), whole % 60.0)
    }
}

/// Reads a number of bytes: `1048576`, `512KiB`, `24MiB`, `1GiB`; with KB, MB
/// and GB as powers of ten.
///
/// # Errors
/// A sentence, when the text is no size.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, usize); 7] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("", 1),
    ];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|number| (number, *unit)))
        .unwrap_or((text, 1));
    number
        .trim()
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| format!("\"{text}\" is no size; write it as 24MiB or 25165824"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_get_the_unit_that_keeps_them_short() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1_048_575), "1.0 MiB");
        assert_eq!(bytes(314_572_800), "300.0 MiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
    }

    #[test]
    fn seconds_never_show_a_full_unit_of_the_next() {
        for (count, shown) in [
            (0.0, "0 ms"),
            (0.0124, "12 ms"),
            (0.0994, "99 ms"),
            (0.0996, "0.10 s"),
            (3.416, "3.42 s"),
            (119.999, "2 min 00 s"),
            (125.0, "2 min 05 s"),
            (179.7, "3 min 00 s"),
        ] {
            assert_eq!(seconds(count), shown);
        }
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(parse_bytes("24MiB"), Ok(25_165_824));
        assert_eq!(parse_bytes("64 KiB"), Ok(65_536));
        assert_eq!(parse_bytes("1GB"), Ok(1_000_000_000));
        assert_eq!(parse_bytes("4096"), Ok(4096));
        for bad in ["", "MiB", "-1MiB", "1.5MiB", "1TiB", "99999999999999GiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
