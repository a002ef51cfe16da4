//! Conditions of a read (RFC 9110, section 13) and its range.

use std::ops::Range;
use std::time::SystemTime;

use s3s::dto::{ETagCondition, Range as ByteRange, Timestamp};

use super::bucket::Guard;
use super::error::{StoreError, StoreResult};
use super::object::ObjectInfo;

/// The four conditions of a GET or HEAD, or of a copy's source.
pub(super) struct Conditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

impl Conditions {
    /// Checks them in the RFC's order: an ETag condition overrules its date.
    pub(super) fn check(&self, info: &ObjectInfo) -> StoreResult<()> {
        let modified = whole_second(info);
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) if !matches(condition, info) => {
                return Err(StoreError::PreconditionFailed("If-Match"));
            }
            (None, Some(since)) if modified > *since => {
                return Err(StoreError::PreconditionFailed("If-Unmodified-Since"));
            }
            _ => {}
        }
        let unchanged = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => matches(condition, info),
            (None, Some(since)) => modified <= *since,
            (None, None) => false,
        };
        if unchanged {
            return Err(StoreError::NotModified { etag: info.etag.clone() });
        }
        Ok(())
    }
}

fn matches(condition: &ETagCondition, info: &ObjectInfo) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == info.etag,
    }
}

/// HTTP dates have whole seconds; so must what is compared with them.
fn whole_second(info: &ObjectInfo) -> Timestamp {
    let seconds = std::time::Duration::from_secs(info.modified_ms / 1000);
    Timestamp::from(SystemTime::UNIX_EPOCH + seconds)
}

/// The condition of a write.
pub(super) fn guard(
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
) -> StoreResult<Guard> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Guard::Always),
        (None, Some(ETagCondition::Any)) => Ok(Guard::Absent),
        (Some(ETagCondition::Any), None) => Ok(Guard::Present),
        (Some(ETagCondition::ETag(etag)), None) => Ok(Guard::Etag(etag.into_value())),
        _ => Err(StoreError::InvalidArgument(
            "a write takes If-Match or `If-None-Match: *`, not both".to_owned(),
        )),
    }
}

/// What a read returns: the whole object, or a part of it with status 206.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    Span(Range<u64>),
}

impl Extent {
    /// Resolves `Range` or `partNumber` against an object.
    pub(super) fn of(
        info: &ObjectInfo,
        range: Option<ByteRange>,
        part: Option<i32>,
    ) -> StoreResult<Self> {
        match (range, part) {
            (None, None) => Ok(Self::Whole),
            (Some(range), None) => byte_range(range, info.size).map(Self::Span),
            (None, Some(number)) => part_range(info, number),
            (Some(_), Some(_)) => Err(StoreError::InvalidArgument(
                "Range and partNumber cannot be used together".to_owned(),
            )),
        }
    }

    /// The bytes, as a half-open range.
    pub(super) fn range(&self, size: u64) -> Range<u64> {
        match self {
            Self::Whole => 0..size,
            Self::Span(range) => range.clone(),
        }
    }
}

fn byte_range(range: ByteRange, size: u64) -> StoreResult<Range<u64>> {
    let found = range.check(size).ok().filter(|range| !range.is_empty());
    found.ok_or(StoreError::InvalidRange { size })
}

fn part_range(info: &ObjectInfo, number: i32) -> StoreResult<Extent> {
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    let found = index.and_then(|index| Some((index, info.segments.get(index)?)));
    let (index, segment) = found.ok_or(StoreError::InvalidPart(number))?;
    if info.upload.is_none() {
        return Ok(Extent::Whole);
    }
    let start: u64 = info.segments.iter().take(index).map(|s| s.bytes).sum();
    Ok(Extent::Span(start..start + segment.bytes))
}
