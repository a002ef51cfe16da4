#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::{Decoder, FRAME_BYTES_MAX, Frame, FrameError};

/// The protocol's own example.
const EXEC_START: &str = r#"{"Type":"ExecStart","MessageOut":"","MessageErr":"","MessageOps":"","OutputFolder":"/osmo/data/output/","RouterAddress":"","Command":"","TaskPort":0,"RsyncRunning":false}"#;

fn frames(bytes: &[u8], step: usize) -> Result<Vec<Frame>, FrameError> {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for piece in bytes.chunks(step) {
        decoder.push(piece);
        while let Some(frame) = decoder.frame()? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

#[test]
fn every_field_is_on_the_wire_in_order() {
    let frame = Frame::ExecStart { output_folder: "/osmo/data/output/".into() };
    assert_eq!(String::from_utf8(frame.encode()).unwrap(), format!("{EXEC_START}\n"));
}

#[test]
fn additions_follow_the_known_fields() {
    let known = EXEC_START.replace("ExecStart", "X").replace("/osmo/data/output/", "");
    let wire = |name: &str, more: &str| {
        known.replace("\"X\"", &format!("\"{name}\"")).replace('}', &format!(",{more}}}\n"))
    };
    let hello = Frame::Hello { token: "ab".into(), session: None };
    assert_eq!(String::from_utf8(hello.encode()).unwrap(), wire("Hello", r#""Token":"ab""#));
    assert_eq!(
        String::from_utf8(Frame::ExecFinished.encode()).unwrap(),
        wire("ExecFinished", r#""ExitCode":0"#)
    );
    let go = Frame::Terminate { seconds: Some(9) };
    assert_eq!(String::from_utf8(go.encode()).unwrap(), wire("Terminate", r#""Seconds":9"#));
    let plain = br#"{"Type":"Terminate"}"#;
    assert_eq!(frames(plain, 9).unwrap(), [Frame::Terminate { seconds: None }]);
}

#[test]
fn objects_are_found_however_reads_cut_them() {
    let stream = format!(
        "{EXEC_START}{EXEC_START}\n \n{}{}",
        r#"{"Type":"MessageErr","MessageErr":"a \"}{\\","Other":[{"x":"]"}]}"#,
        r#"{"Type":"CtrlFailed"}"#
    );
    let start = Frame::ExecStart { output_folder: "/osmo/data/output/".into() };
    let want = vec![start.clone(), start, Frame::MessageErr("a \"}{\\".into()), Frame::CtrlFailed];
    for step in [1, 2, 3, 7, 64, stream.len()] {
        assert_eq!(frames(stream.as_bytes(), step).unwrap(), want, "pieces of {step}");
    }
}

#[test]
fn agents_that_tell_their_code_in_words_are_understood() {
    let text = r#"{"Type":"ExecFailed","MessageErr":"Command failed with error: exit status 3\n"}"#;
    let message = "Command failed with error: exit status 3\n".to_owned();
    assert_eq!(frames(text.as_bytes(), 8).unwrap(), [Frame::ExecFailed { message, code: Some(3) }]);
}

#[test]
fn broken_streams_are_told() {
    assert_eq!(frames(b"{} x", 9), Err(FrameError::NoObject(b'x')));
    assert_eq!(frames(b"[1]", 9), Err(FrameError::NoObject(b'[')));
    assert!(matches!(frames(b"{\"Type\":7}", 9), Err(FrameError::Malformed(_))));
    assert!(matches!(frames(b"{\"Type\":]", 9), Err(FrameError::Malformed(_))));
    let mut long = b"{\"Type\":\"".to_vec();
    long.resize(FRAME_BYTES_MAX + 100, b'a');
    assert_eq!(frames(&long, 4096), Err(FrameError::TooLong));
}

fn any_frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        any::<String>().prop_map(Frame::MessageOut),
        any::<String>().prop_map(Frame::MessageErr),
        any::<String>().prop_map(|token| Frame::Hello { token, session: None }),
        any::<(bool, u16)>().prop_map(|(running, port)| Frame::UserRsyncStatus { running, port }),
        (any::<String>(), any::<i32>())
            .prop_map(|(message, code)| Frame::ExecFailed { message, code: Some(code) }),
        any::<Option<u64>>().prop_map(|seconds| Frame::Terminate { seconds }),
        Just(Frame::ExecFinished),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        want in prop::collection::vec(any_frame(), 1..8),
        step in 1..40usize,
    ) {
        let bytes: Vec<u8> = want.iter().flat_map(Frame::encode).collect();
        prop_assert_eq!(frames(&bytes, step).unwrap(), want);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), step in 1..9usize) {
        let _ = frames(&bytes, step);
    }
}
