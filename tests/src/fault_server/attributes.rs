//! GetObjectAttributes, as the API reference has it: what is asked for stands in
//! fields, a page ends after `x-amz-max-parts`, and parts are listed only where
//! they have checksums.

use super::answer::Answer;
use super::request::Request;
use super::table::{Refused, Table};

const PAGE_PARTS_MAX: usize = 1_000;

pub(super) fn attributes(table: &Table, key: &str, request: &Request) -> Refused<Answer> {
    let object = table.get(key).ok_or((404, "NoSuchKey"))?;
    let asked = request.field("x-amz-object-attributes").ok_or((400, "InvalidRequest"))?;
    if asked != "ObjectParts" {
        return Err((400, "InvalidArgument"));
    }
    let number = |name: &str| match request.field(name) {
        Some(text) => text.parse().map(Some).map_err(|_| (400, "InvalidArgument")),
        None => Ok(None),
    };
    let most = number("x-amz-max-parts")?.unwrap_or(PAGE_PARTS_MAX).min(table.page_parts);
    let after: usize = number("x-amz-part-number-marker")?.unwrap_or(0);
    let Some(declared) = object.declared.as_ref().filter(|declared| !declared.parts.is_empty())
    else {
        return Ok(Answer::xml("<GetObjectAttributesResponse></GetObjectAttributesResponse>"));
    };
    let element = declared.element;
    let page = declared.parts.iter().enumerate().skip(after).take(most);
    let parts: String = page
        .map(|(at, (bytes, value))| {
            format!(
                "<Part><{element}>{value}</{element}><PartNumber>{}</PartNumber>\
                 <Size>{bytes}</Size></Part>",
                at + 1
            )
        })
        .collect();
    let count = declared.parts.len();
    let last = (after + most).min(count);
    Ok(Answer::xml(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<GetObjectAttributesResponse xmlns=\
         \"http://s3.amazonaws.com/doc/2006-03-01/\"><ObjectParts><PartsCount>{count}</PartsCount>\
         <PartNumberMarker>{after}</PartNumberMarker><NextPartNumberMarker>{last}\
         </NextPartNumberMarker><MaxParts>{most}</MaxParts><IsTruncated>{}</IsTruncated>{parts}\
         </ObjectParts></GetObjectAttributesResponse>",
        last < count
    )))
}
