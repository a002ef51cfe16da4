//! One page of a listing, checked and decoded.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{EncodingType, Object};

use crate::s3::control::{ObjectInfo, Page};
use crate::s3::encode;

/// The page, or what is wrong with it. `asked` is the token it was asked for
/// with: a store that answers the same one again would be listed forever.
pub(super) fn page(
    answer: &ListObjectsV2Output,
    asked: Option<&str>,
) -> Result<Page, &'static str> {
    // A store that ignores the encoding does not claim it.
    let encoded = answer.encoding_type() == Some(&EncodingType::Url);
    let name = |text: &str| {
        if encoded { encode::decode_listed(text) } else { Some(text.to_owned()) }
            .ok_or("a listing with a key that is not UTF-8")
    };
    let objects = answer.contents().iter().map(|o| object(o, &name)).collect::<Result<_, _>>()?;
    let prefixes = answer
        .common_prefixes()
        .iter()
        .filter_map(|prefix| prefix.prefix())
        .map(name)
        .collect::<Result<_, _>>()?;
    let next = match (answer.is_truncated(), answer.next_continuation_token()) {
        (Some(true), None) => return Err("a listing that is cut and cannot be continued"),
        (Some(true), next) if next == asked => return Err("a listing that does not advance"),
        (Some(true), next) => next.map(str::to_owned),
        _ => None,
    };
    Ok(Page { objects, prefixes, next })
}

fn object(
    listed: &Object,
    name: &impl Fn(&str) -> Result<String, &'static str>,
) -> Result<ObjectInfo, &'static str> {
    Ok(ObjectInfo {
        key: listed
            .key()
            .map(name)
            .transpose()?
            .filter(|key| !key.is_empty())
            .ok_or("a listing with an object without a key")?,
        bytes: listed
            .size()
            .and_then(|bytes| u64::try_from(bytes).ok())
            .ok_or("a listing with an object without a size")?,
        etag: listed.e_tag().map(str::to_owned),
        modified_s: listed.last_modified().map(aws_smithy_types::DateTime::secs),
        checksums: Vec::new(),
        encrypted: false,
    })
}
