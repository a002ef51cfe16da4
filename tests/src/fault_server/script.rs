//! What happens to which request.

use std::collections::VecDeque;
use std::time::Duration;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// ListObjectsV2.
    List,
    /// HeadObject.
    Head,
    /// GetObjectAttributes.
    Attributes,
    /// GetObject without a range.
    GetWhole,
    /// GetObject with one.
    GetRange,
    /// PutObject.
    Put,
    /// CreateMultipartUpload.
    Create,
    /// UploadPart.
    UploadPart,
    /// CompleteMultipartUpload.
    Complete,
    /// AbortMultipartUpload.
    Abort,
    /// DeleteObject.
    Delete,
    /// DeleteObjects.
    DeleteMany,
    /// HeadBucket.
    HeadBucket,
    /// GetBucketLocation.
    BucketLocation,
}

/// What happens to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is answered as S3 answers it.
    Ok,
    /// It is answered this much later.
    Slow(Duration),
    /// Nothing is said any more, and of a large body nothing is read.
    Stall,
    /// The connection is reset after so many bytes of the answer's body (0:
    /// before any of its head), or of a request's body that is longer.
    Reset(u64),
    /// It is refused with this status and body: before the body is read, if
    /// that is large.
    Status(u16, String),
    /// The connection ends after so many bytes of the answer's body; an
    /// answer without one ends inside its head.
    Truncate(u64),
    /// This bit of the body is another one: of the answer's, of the request's
    /// where that has one, of the declared checksum where neither has.
    Corrupt(u64),
    /// The answer is of a range that nobody asked for.
    WrongRange,
    /// The answer is one byte shorter than it has to be; one that has to be
    /// empty announces bytes that never come.
    WrongLength,
    /// The answer names another entity tag.
    ChangedEtag,
    /// 301 to this region.
    RedirectRegion(String),
    /// 400 `ExpiredToken`.
    TokenExpired,
    /// The answer is no HTTP.
    GarbageHead,
    /// The answer's head never ends.
    EndlessHead,
}

#[derive(Debug)]
struct Rule {
    call: Call,
    key: String,
    steps: VecDeque<Step>,
    then: Option<Step>,
}

#[derive(Debug, Default)]
pub(super) struct Script(Vec<Rule>);

impl Script {
    pub(super) fn add(&mut self, call: Call, key: &str, steps: Vec<Step>, then: Option<Step>) {
        self.0.push(Rule { call, key: key.to_owned(), steps: steps.into(), then });
    }

    pub(super) fn next(&mut self, call: Call, key: &str) -> Step {
        self.0
            .iter_mut()
            .filter(|rule| rule.call == call && key.contains(&rule.key))
            .find_map(|rule| rule.steps.pop_front().or_else(|| rule.then.clone()))
            .unwrap_or(Step::Ok)
    }
}
