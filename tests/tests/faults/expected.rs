//! The table of `docs/SEMANTICS.md`, "When the network or the store fails",
//! square by square.

use osmo_engine::ErrorKind as Kind;
use osmo_tests::fault_server::{Call, Step};

use super::cases::{Case, Times};
use super::world::End;

/// What a step means to the call that meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    /// Nothing, or nothing that hurts.
    Fine,
    /// It passes; for ever, it is this.
    Passing(Kind),
    /// It is this at once.
    Final(Kind),
}

/// How the job of `case` ends.
pub(crate) fn end(case: &Case) -> End {
    if case.call == Call::Abort {
        // Completing was refused; the abort changes nothing about that.
        return End::Partial(Kind::Denied);
    }
    // A store that takes no batches, or talks nonsense about them: each object
    // is removed by itself.
    if case.call == Call::DeleteMany
        && matches!(
            means(case.call, &case.step),
            Means::Passing(Kind::Protocol) | Means::Final(Kind::Protocol)
        )
    {
        return End::Done;
    }
    let kind = match (means(case.call, &case.step), case.times) {
        (Means::Fine, _) | (Means::Passing(_), Times::Once) => return End::Done,
        (Means::Passing(kind), Times::Always) | (Means::Final(kind), _) => kind,
    };
    // What a HEAD tells wrongly is found when the bytes come.
    let lie = matches!(case.step, Step::Corrupt(_) | Step::WrongLength | Step::ChangedEtag);
    match case.call {
        Call::DeleteMany | Call::HeadBucket => End::Failed(kind),
        Call::Head if !lie => End::Failed(kind),
        Call::List if case.step != Step::ChangedEtag => End::Failed(kind),
        _ => End::Partial(kind),
    }
}

/// Whether a multipart upload may be left, with a note.
pub(crate) fn may_leave_an_upload(case: &Case) -> bool {
    match case.call {
        // Nobody knows the id of an upload whose answer was lost.
        Call::Create => matches!(
            case.step,
            Step::Stall
                | Step::Reset(0)
                | Step::Truncate(_)
                | Step::Corrupt(_)
                | Step::WrongLength
                | Step::GarbageHead
                | Step::EndlessHead
        ),
        Call::Abort => match means(case.call, &case.step) {
            Means::Fine => false,
            Means::Passing(_) => case.times == Times::Always,
            Means::Final(_) => true,
        },
        _ => false,
    }
}

fn means(call: Call, step: &Step) -> Means {
    use Means::{Final, Fine, Passing};
    match step {
        Step::Ok | Step::Slow(_) => Fine,
        // An attempt that moved some bytes is not among those that count, and
        // the next one asks for a range.
        Step::Reset(1..) | Step::Truncate(_) if call == Call::GetWhole => Fine,
        // Answers without so many bytes.
        Step::Reset(1..) if !matches!(call, Call::GetRange | Call::Put | Call::UploadPart) => Fine,
        // The object is there, whatever became of the answer: a look finds it.
        Step::Stall
        | Step::Reset(_)
        | Step::Truncate(_)
        | Step::Corrupt(_)
        | Step::WrongLength
        | Step::GarbageHead
        | Step::EndlessHead
            if call == Call::Complete =>
        {
            Fine
        }
        Step::Stall | Step::Reset(_) | Step::Truncate(_) => Passing(Kind::Unreachable),
        Step::GarbageHead | Step::EndlessHead => Passing(Kind::Protocol),
        Step::Corrupt(_) => match call {
            Call::GetWhole | Call::GetRange | Call::Put | Call::UploadPart => {
                Passing(Kind::Corrupt)
            }
            // A checksum that no bytes have.
            Call::Head => Final(Kind::Corrupt),
            Call::List | Call::Create | Call::Complete | Call::DeleteMany => {
                Passing(Kind::Protocol)
            }
            // Nothing of the answer is read but its status.
            _ => Fine,
        },
        Step::WrongRange => Passing(Kind::Protocol),
        Step::WrongLength => match call {
            Call::GetWhole | Call::Head => Final(Kind::Changed),
            Call::GetRange => Passing(Kind::Protocol),
            Call::List | Call::Create | Call::DeleteMany => Passing(Kind::Protocol),
            // An answer that need not be read to its end.
            _ => Fine,
        },
        Step::ChangedEtag => match call {
            Call::List | Call::Head | Call::GetWhole | Call::GetRange => Final(Kind::Changed),
            // The completion names a part that the store does not have.
            Call::UploadPart => Final(Kind::Protocol),
            _ => Fine,
        },
        // Followed once; a store that goes on pointing there is none.
        Step::RedirectRegion(_) => Passing(Kind::Config),
        // Keys that stand in a file are renewed by nobody. The answer to a
        // HEAD has no body that could say what is wrong.
        Step::TokenExpired if matches!(call, Call::Head | Call::HeadBucket) => {
            Final(Kind::Protocol)
        }
        Step::TokenExpired => Final(Kind::Denied),
        Step::Status(status, body) => answered(call, *status, body),
    }
}

fn answered(call: Call, status: u16, body: &str) -> Means {
    use Means::{Final, Fine, Passing};
    match status {
        // An error document in a success.
        200 if body.contains("InternalError") => Passing(Kind::Store),
        // A policy may allow what lies in a bucket and no word on it.
        403 if call == Call::HeadBucket => Fine,
        403 => Final(Kind::Denied),
        404 if call == Call::Abort => Fine,
        404 => Final(Kind::NotFound),
        429 | 503 => Passing(Kind::Throttled),
        500 | 502 => Passing(Kind::Store),
        _ => Final(Kind::Protocol),
    }
}
