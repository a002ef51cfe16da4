//! A terminal's stream: sizes, resizes, the exit code.

use osmo_protocol::terminal::{Exit, Input, InputReader, Output, OutputReader, PROMISE, Size};

use super::{expect_every, golden, variants};

const fn size(rows: u16, cols: u16, exit_code: bool) -> Size {
    Size { rows, cols, exit_code }
}

/// File, value, whether ours writes it so.
const SIZES: [(&str, Size, bool); 4] = [
    ("terminal/size.json", size(24, 80, false), true),
    ("terminal/size-of-the-cli.json", size(24, 80, false), false),
    ("terminal/size-of-none.json", size(0, 0, false), false),
    ("terminal/size-ours.json", size(24, 80, true), true),
];

const RESIZES: [(&str, bool); 2] =
    [("terminal/resize.bin", true), ("terminal/resize-of-the-cli.bin", false)];

pub(super) fn files() -> Vec<&'static str> {
    let mut all = vec!["terminal/exit-ours.bin", "terminal/promise-ours.bin"];
    all.extend(SIZES.map(|(name, ..)| name));
    all.extend(RESIZES.map(|(name, _)| name));
    all
}

#[test]
fn sizes_are_read_and_written() {
    for (name, size, is_ours) in SIZES {
        let mut reader = InputReader::default();
        assert_eq!(reader.push(&golden(name)).unwrap(), [Input::Size(size)], "{name}");
        assert_eq!(size.encode() == golden(name), is_ours, "{name}");
        // In any case of letters: Go's decoder does not mind.
        let small = golden(name).to_ascii_lowercase();
        assert_eq!(InputReader::default().push(&small).unwrap(), [Input::Size(size)], "{name}");
    }
}

#[test]
fn resizes_are_found_among_keys() {
    let new = size(40, 120, false);
    for (name, is_ours) in RESIZES {
        let stream = [&golden("terminal/size.json"), &b"ls\r"[..], &golden(name), b"q"].concat();
        let keys = |keys: &str| Input::Keys(keys.into());
        let want = [Input::Size(size(24, 80, false)), keys("ls\r"), Input::Size(new), keys("q")];
        assert_eq!(InputReader::default().push(&stream).unwrap(), want, "{name}");
        assert_eq!(new.encode_resize() == golden(name), is_ours, "{name}");
        expect_every(variants!(Input: Size Keys), want);
    }
}

#[test]
fn the_exit_code_ends_the_output() {
    let exit = Exit { code: 130 };
    assert_eq!(exit.encode(), golden("terminal/exit-ours.bin"));
    assert_eq!(PROMISE, golden("terminal/promise-ours.bin"));
    let stream = [PROMISE, b"bye", &exit.encode()[..]].concat();
    let want = [Output::Promise, Output::Bytes(b"bye".to_vec()), Output::Exit(exit)];
    let got = OutputReader::default().push(&stream);
    assert_eq!(got, want);
    expect_every(variants!(Output: Promise Bytes Exit), got);
}
