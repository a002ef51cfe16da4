//! Listings of objects, both versions.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::*;

use super::ObjectService;
use super::answer::{count, etag, modified, signed};
use crate::store::error::{StoreError, StoreResult};
use crate::store::listing::{PAGE_KEYS_MAX, Page, Query, Resume, page, parse_token, token};
use crate::store::object::Object as StoredObject;

/// What `encoding-type=url` leaves as it is. A space becomes `%20` and a plus
/// `%2B`, so that clients that read `+` as a space agree with those that do not.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

impl ObjectService {
    pub(super) fn list_v2(&self, input: ListObjectsV2Input) -> StoreResult<ListObjectsV2Output> {
        let names = Names::of(input.encoding_type.as_ref())?;
        let resume = match (&input.continuation_token, &input.start_after) {
            (Some(token), _) => parse_token(token)?,
            (None, Some(key)) if !key.is_empty() => Resume::After(key.clone()),
            (None, _) => Resume::Start,
        };
        let max_keys = max_keys(input.max_keys)?;
        let prefix = input.prefix.unwrap_or_default();
        let query = Query { prefix, delimiter: input.delimiter, resume, max_keys };
        let page = page(&self.bucket(&input.bucket)?.read().objects, &query);
        let next = page.next.as_deref().map(token);
        Ok(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(names.write(&query.prefix)),
            max_keys: Some(count(max_keys)),
            key_count: Some(count(page.objects.len() + page.prefixes.len())),
            continuation_token: input.continuation_token,
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            common_prefixes: Some(names.prefixes(&page)),
            contents: Some(names.contents(page)),
            delimiter: query.delimiter.map(|d| names.write(&d)),
            encoding_type: input.encoding_type,
            start_after: input.start_after.map(|key| names.write(&key)),
            request_charged: None,
        })
    }

    pub(super) fn list_v1(&self, input: ListObjectsInput) -> StoreResult<ListObjectsOutput> {
        let names = Names::of(input.encoding_type.as_ref())?;
        let marker = input.marker.unwrap_or_default();
        let resume = if marker.is_empty() { Resume::Start } else { Resume::After(marker.clone()) };
        let max_keys = max_keys(input.max_keys)?;
        let prefix = input.prefix.unwrap_or_default();
        let query = Query { prefix, delimiter: input.delimiter, resume, max_keys };
        let page = page(&self.bucket(&input.bucket)?.read().objects, &query);
        let next = page.next.clone();
        Ok(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(names.write(&query.prefix)),
            marker: Some(names.write(&marker)),
            max_keys: Some(count(max_keys)),
            is_truncated: Some(next.is_some()),
            common_prefixes: Some(names.prefixes(&page)),
            contents: Some(names.contents(page)),
            // Without a delimiter the last key is the marker.
            next_marker: next.filter(|_| query.delimiter.is_some()).map(|next| names.write(&next)),
            delimiter: query.delimiter.map(|d| names.write(&d)),
            encoding_type: input.encoding_type,
            request_charged: None,
        })
    }
}

/// How names are written in an answer.
#[derive(Clone, Copy)]
pub(super) enum Names {
    Plain,
    Url,
}

impl Names {
    pub(super) fn of(encoding: Option<&EncodingType>) -> StoreResult<Self> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Self::Plain),
            Some(EncodingType::URL) => Ok(Self::Url),
            Some(other) => Err(StoreError::InvalidArgument(format!(
                "encoding-type `{other}` is not known; use `url`"
            ))),
        }
    }

    pub(super) fn write(self, name: &str) -> String {
        match self {
            Self::Plain => name.to_owned(),
            Self::Url => utf8_percent_encode(name, PLAIN).to_string(),
        }
    }

    fn prefixes(self, page: &Page) -> Vec<CommonPrefix> {
        page.prefixes.iter().map(|p| CommonPrefix { prefix: Some(self.write(p)) }).collect()
    }

    fn contents(self, page: Page) -> Vec<Object> {
        page.objects.into_iter().map(|(key, object)| self.entry(&key, &object)).collect()
    }

    fn entry(self, key: &str, object: &Arc<StoredObject>) -> Object {
        Object {
            key: Some(self.write(key)),
            e_tag: Some(etag(&object.info.etag)),
            last_modified: Some(modified(&object.info)),
            size: Some(signed(object.info.size)),
            storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
            ..Default::default()
        }
    }
}

pub(super) fn max_keys(asked: Option<i32>) -> StoreResult<usize> {
    let Some(asked) = asked else { return Ok(PAGE_KEYS_MAX) };
    let asked = usize::try_from(asked)
        .map_err(|_| StoreError::InvalidArgument(format!("a page size of {asked} is negative")))?;
    Ok(asked.min(PAGE_KEYS_MAX))
}
