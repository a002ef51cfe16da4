#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::{Exit, Input, InputError, InputReader, Output, OutputReader, Size, VALUE_BYTES_MAX};

fn window(rows: u16, cols: u16) -> Input {
    Input::Size(Size { rows, cols, exit_code: false })
}

fn keys(text: &[u8]) -> Input {
    Input::Keys(text.to_vec())
}

/// Reads `pieces` and joins neighbouring keystrokes; the rest comes last.
fn input<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Input>, InputError> {
    let (mut reader, mut all) = (InputReader::default(), Vec::new());
    for piece in pieces {
        for found in reader.push(piece)? {
            match (all.last_mut(), found) {
                (Some(Input::Keys(before)), Input::Keys(now)) => before.extend(now),
                (_, found) => all.push(found),
            }
        }
        assert!(reader.pending.len() <= VALUE_BYTES_MAX + 16);
    }
    Ok(all)
}

fn output<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Output> {
    let (mut reader, mut all) = (OutputReader::default(), Vec::new());
    let mut join = |found| match (all.last_mut(), found) {
        (Some(Output::Bytes(before)), Output::Bytes(now)) => before.extend(now),
        (_, found) => all.push(found),
    };
    pieces.into_iter().flat_map(|piece| reader.push(piece)).for_each(&mut join);
    let rest = reader.finish();
    if !rest.is_empty() {
        join(Output::Bytes(rest));
    }
    all
}

/// What the real client writes, and the contract's own example.
#[test]
fn sizes_are_found_among_keys() {
    let stream = b"{\"Rows\": 24, \"Cols\": 80}ls\r\x00RESIZE:{\"Rows\":40,\"Cols\":120}\x00x\x03";
    let want = [window(24, 80), keys(b"ls\r"), window(40, 120), keys(b"\x00x\x03")];
    for step in 1..=stream.len() {
        assert_eq!(input(stream.chunks(step)).unwrap(), want, "reads of {step}");
    }
}

#[test]
fn the_first_value_takes_any_case_and_more_keys() {
    for (text, want) in [
        (&b"{\"rows\":1,\"COLS\":2}"[..], window(1, 2)),
        (b" {\"Rows\":1,\"Cols\":2,\"Other\":{\"x\":\"}\"}}", window(1, 2)),
        (b"{}", window(0, 0)),
    ] {
        assert_eq!(input(text.chunks(1)).unwrap(), [want]);
    }
    let asked = Size { rows: 3, cols: 4, exit_code: true };
    assert_eq!(input([&asked.encode()[..]]).unwrap(), [Input::Size(asked)]);
    for bad in [&b"ls\r"[..], b"[1]", b"{\"Rows\":70000}", b"{\"Rows\":-1}", b"{\"Rows\":\"1\"}"] {
        assert_eq!(input([bad]), Err(InputError));
        assert_eq!(input(bad.chunks(1)), Err(InputError));
    }
}

#[test]
fn a_first_value_of_the_limit_passes_and_a_longer_one_does_not() {
    let padded = |length: usize| format!("{{\"Rows\":1,\"Cols\":2{}}}", " ".repeat(length - 19));
    for step in [1, 100, 4096] {
        let fits = padded(VALUE_BYTES_MAX);
        assert_eq!(input(fits.as_bytes().chunks(step)).unwrap(), [window(1, 2)]);
        let long = padded(VALUE_BYTES_MAX + 1);
        assert_eq!(input(long.as_bytes().chunks(step)), Err(InputError));
    }
}

#[test]
fn what_is_no_size_is_typed() {
    for typed in [
        &b"\x00RESIZE:x"[..],
        b"\x00RESIZE:{}}x\x00RESIZE:{\"Rows\":x}",
        b"\x00\x00\x00RESIZ\x00E:z",
        b"\x00RESIZE:\x00y",
    ] {
        let stream = [b"{}", typed].concat();
        let whole = input([&stream[..]]).unwrap();
        assert_eq!(input(stream.chunks(1)).unwrap(), whole);
        if !typed.starts_with(b"\x00RESIZE:{}") {
            assert_eq!(whole[1..], [keys(typed)]);
        }
    }
    let long = [&b"{}\x00RESIZE:{"[..], &vec![b' '; VALUE_BYTES_MAX]].concat();
    assert_eq!(input(long.chunks(7)).unwrap()[1..], [keys(&long[2..])]);
}

#[test]
fn a_lone_nul_can_be_released() {
    let mut reader = InputReader::default();
    assert_eq!(reader.release(), None);
    assert_eq!(reader.push(b"{}a\0").unwrap()[1..], [keys(b"a")]);
    assert!(reader.holds_key());
    assert_eq!(reader.release(), Some(keys(b"\0")));
    assert_eq!(reader.push(b"\0R").unwrap(), []);
    assert!(!reader.holds_key());
    assert_eq!(reader.push(b"b").unwrap(), [keys(b"\0Rb")]);
}

#[test]
fn the_exit_code_is_found_behind_the_output() {
    let stream = b"a\x00b\r\n\x00EXIT:{\"Code\":3}";
    let want = [Output::Bytes(b"a\x00b\r\n".to_vec()), Output::Exit(Exit { code: 3 })];
    for step in 1..=stream.len() {
        assert_eq!(output(stream.chunks(step)), want);
    }
    let cut = b"a\x00EXIT:{\"Cod";
    assert_eq!(output([&cut[..]]), [Output::Bytes(cut.to_vec())]);
}

/// Bytes that like to form markers.
fn bytes(marker: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\0".to_vec()),
        Just(format!("\0{marker}:").into_bytes()),
        Just(format!("\0{marker}:{{\"Rows\":7,\"Cols\":9,\"Code\":5}}").into_bytes()),
        Just(b"{\"Rows\":1".to_vec()),
        Just(b"}".to_vec()),
        Just(vec![b' '; VALUE_BYTES_MAX / 2]),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// `bytes` cut at places that `cuts` choose.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn no_cutting_changes_the_input(
        head in prop_oneof![Just("{\"Rows\":2,\"Cols\":3}"), Just("{\"a\":{}}"), Just("")],
        tail in bytes("RESIZE"),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let stream = [head.as_bytes(), &tail].concat();
        let whole = input([&stream[..]]);
        prop_assert_eq!(input(pieces(&stream, &cuts)), whole.clone());
        prop_assert_eq!(input(stream.chunks(1)), whole);
    }

    #[test]
    fn no_cutting_changes_the_output(
        stream in bytes("EXIT"),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let whole = output([&stream[..]]);
        prop_assert_eq!(output(pieces(&stream, &cuts)), whole.clone());
        prop_assert_eq!(output(stream.chunks(1)), whole);
    }
}
