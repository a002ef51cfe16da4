//! The token call and its answers; the termination message and its codes.

use osmo_protocol::exit::ExitCode;
use osmo_protocol::termination;
use osmo_protocol::token::{REFRESH_TOKEN_LEN, TokenAnswer, TokenRequest, refresh_path};

use super::{expect_every, golden, text, variants};

fn answers() -> Vec<(&'static str, TokenAnswer)> {
    let refused = "Workflow wf-1 with task t1 refresh token is invalid".to_owned();
    let missing =
        r#"[{"input":{},"loc":["body","token"],"msg":"Field required","type":"missing"}]"#;
    let granted =
        TokenAnswer::Granted { token: "eyJ0.eyJl.c2ln".into(), expires_at: 1_767_323_045 };
    vec![
        ("token/200-granted.json", granted),
        ("token/400-finished.json", TokenAnswer::Finished),
        ("token/400-finished-at-the-top.json", TokenAnswer::Finished),
        ("token/400-pending.json", TokenAnswer::Pending),
        ("token/400-refused.json", TokenAnswer::Refused(refused)),
        ("token/422-missing.json", TokenAnswer::Refused(missing.into())),
        (
            "token/500-logger-alone.txt",
            TokenAnswer::Unclear("status 500 with a body that is not JSON".into()),
        ),
    ]
}

/// The contract's numbers and what they mean; 11 is not used.
const CODES: [(&str, ExitCode); 15] = [
    ("termination/0.json", ExitCode::Ok),
    ("termination/10.json", ExitCode::Download),
    ("termination/12.json", ExitCode::Upload),
    ("termination/13.json", ExitCode::AccessCheck),
    ("termination/14.json", ExitCode::AccessDenied),
    ("termination/20.json", ExitCode::Token),
    ("termination/21.json", ExitCode::WebSocketTimeout),
    ("termination/22.json", ExitCode::WebSocketMessage),
    ("termination/23.json", ExitCode::UnixSocket),
    ("termination/24.json", ExitCode::Barrier),
    ("termination/25.json", ExitCode::Metrics),
    ("termination/30.json", ExitCode::InvalidInput),
    ("termination/31.json", ExitCode::CommandFailed),
    ("termination/32.json", ExitCode::FileFailed),
    ("termination/40.json", ExitCode::Misc),
];

pub(super) fn files() -> Vec<&'static str> {
    let mut all = vec!["token/path.txt", "token/request.json", "termination/10-ours.json"];
    all.extend(answers().into_iter().map(|(name, _)| name));
    all.extend(CODES.map(|(name, _)| name));
    all
}

#[test]
fn the_call_is_written() {
    assert_eq!(refresh_path("wf-1", "g", "t1", 0), text("token/path.txt"));
    let token = "0123456789012345678901234567890123456789012".to_owned();
    assert_eq!(token.len(), REFRESH_TOKEN_LEN);
    let request = serde_json::to_string(&TokenRequest { token }).unwrap();
    assert_eq!(request, text("token/request.json"));
}

#[test]
fn every_answer_is_read() {
    for (name, answer) in answers() {
        let status = name["token/".len()..][..3].parse().unwrap();
        assert_eq!(TokenAnswer::read(status, &golden(name)), answer, "{name}");
    }
    let names = variants!(TokenAnswer: Granted Finished Pending Refused Unclear);
    expect_every(names, answers().into_iter().map(|(_, answer)| answer));
}

#[test]
fn every_code_has_its_termination_message() {
    for (name, code) in CODES {
        let number = name["termination/".len()..].trim_end_matches(".json").parse().unwrap();
        assert_eq!((code.code(), ExitCode::of(number)), (number, Some(code)), "{name}");
        assert_eq!(termination::encode(code, ""), text(name), "{name}");
    }
    let sentence = "cannot read s3://b/p: no such bucket";
    let ours = termination::encode(ExitCode::Download, sentence);
    assert_eq!(ours, text("termination/10-ours.json"));
    let codes = variants!(ExitCode: Ok Download Upload AccessCheck AccessDenied Token
        WebSocketTimeout WebSocketMessage UnixSocket Barrier Metrics InvalidInput CommandFailed
        FileFailed Misc);
    expect_every(codes, CODES.map(|(_, code)| code));
}
