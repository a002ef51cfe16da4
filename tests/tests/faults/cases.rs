//! What is tried: every call, every step that means something there, once and
//! for ever.

use std::fmt;
use std::time::Duration;

use osmo_tests::fault_server::{Call, Step};

/// Whether a step comes once or every time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    Once,
    Always,
}

/// One square of the matrix.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) call: Call,
    pub(crate) step: Step,
    pub(crate) times: Times,
    /// Whether checksums follow what is sent (`aws-chunked`).
    pub(crate) trailer: bool,
}

impl Case {
    /// Whether something is waited for that never comes.
    pub(crate) fn is_silent(&self) -> bool {
        self.step == Step::Stall
            || self.step == Step::WrongLength && matches!(self.call, Call::Put | Call::UploadPart)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = format!("{:?}", self.step);
        let step: String = step.chars().take(60).collect();
        let trailer = if self.trailer { " × trailer" } else { "" };
        write!(f, "{:?} × {step} × {:?}{trailer}", self.call, self.times)
    }
}

/// The calls that jobs make; the location of a bucket is told by its HEAD.
pub(crate) const CALLS: [Call; 12] = [
    Call::List,
    Call::Head,
    Call::GetWhole,
    Call::GetRange,
    Call::Put,
    Call::Create,
    Call::UploadPart,
    Call::Complete,
    Call::Abort,
    Call::Delete,
    Call::DeleteMany,
    Call::HeadBucket,
];

pub(crate) fn error_document(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>as scripted</Message></Error>")
}

pub(crate) fn status(status: u16, code: &str) -> Step {
    Step::Status(status, error_document(code))
}

pub(crate) fn steps(call: Call) -> Vec<Step> {
    let mut steps = vec![
        Step::Ok,
        Step::Slow(Duration::from_millis(80)),
        Step::Stall,
        Step::Reset(0),
        Step::Reset(70_000),
        status(500, "InternalError"),
        status(503, "SlowDown"),
        Step::Status(429, String::new()),
        status(403, "AccessDenied"),
        status(404, "NoSuchBucket"),
        Step::Status(502, "<html><body>Bad Gateway</body></html>".to_owned()),
        Step::Status(418, "\0\u{1f} not even text".repeat(2_000)),
        Step::Truncate(17),
        Step::Corrupt(0),
        Step::WrongLength,
        Step::ChangedEtag,
        Step::RedirectRegion("eu-west-1".to_owned()),
        Step::TokenExpired,
        Step::GarbageHead,
        Step::EndlessHead,
    ];
    if matches!(call, Call::GetWhole | Call::GetRange) {
        steps.push(Step::WrongRange);
    }
    if call == Call::Complete {
        steps.push(status(200, "InternalError"));
    }
    steps
}

/// What may end otherwise when a body is framed, and ends in a trailer.
fn touches_a_body(step: &Step) -> bool {
    matches!(
        step,
        Step::Ok
            | Step::Stall
            | Step::Reset(_)
            | Step::Truncate(_)
            | Step::Corrupt(_)
            | Step::Status(403 | 500 | 503, _)
            | Step::RedirectRegion(_)
    )
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for call in CALLS {
        for step in steps(call) {
            for times in [Times::Once, Times::Always] {
                let trailer = false;
                cases.push(Case { call, step: step.clone(), times, trailer });
                if matches!(call, Call::Put | Call::UploadPart) && touches_a_body(&step) {
                    cases.push(Case { call, step: step.clone(), times, trailer: true });
                }
            }
        }
    }
    // Those that only wait do it together.
    cases.sort_by_key(|case| !case.is_silent());
    cases
}
