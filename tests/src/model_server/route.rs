//! Which answer a request gets, before its delay.

use osmo_engine::digest::Digest;

use super::catalog::Known;
use super::listing;
use super::query::Target;
use super::reply::{Body, ETAG_SUFFIX, Reply};
use super::request::Head;
use super::serve::{BUCKET, Model};
use super::sink::Stored;

/// Answers `head`, whose body had `digest`.
pub(super) fn answer(
    model: &mut Model,
    head: &Head,
    digest: Digest,
    trailer: Option<&str>,
) -> Reply {
    let target = Target::parse(&head.target);
    if target.bucket != BUCKET {
        return Reply::refusal(404, "NoSuchBucket", "there is one bucket, and this is not it");
    }
    let key = target.key.clone();
    match (head.method.as_str(), key.is_empty()) {
        ("HEAD" | "PUT", true) => Reply::new(200),
        ("GET", true) => bucket(model, &target),
        ("GET", false) => object(model, head, &key),
        ("HEAD", false) => object(model, head, &key).bare(),
        ("PUT", false) => put(model, head, &target, digest, trailer),
        ("POST", false) => post(model, &target),
        ("DELETE", false) => match target.asks("uploadId") {
            Some(id) if !model.sink.abort(id) => no_upload(),
            Some(_) => Reply::new(204),
            None => {
                model.sink.delete(&key);
                Reply::new(204)
            }
        },
        _ => unknown(),
    }
}

fn bucket(model: &Model, target: &Target) -> Reply {
    if target.asks("list-type") == Some("2") {
        return Reply::xml(listing::page(&model.catalog, &model.sink, target));
    }
    match target.asks("location") {
        Some(_) => Reply::xml("<LocationConstraint/>".to_owned()),
        None => unknown(),
    }
}

fn object(model: &mut Model, head: &Head, key: &str) -> Reply {
    let Some(known) = model.catalog.find(key) else {
        return match model.sink.find(key) {
            Some(stored) if head.method == "HEAD" => declared(stored),
            Some(_) => Reply::refusal(501, "NotImplemented", "of uploads only digests are kept"),
            None => Reply::refusal(404, "NoSuchKey", "there is no such object"),
        };
    };
    let etag = format!("\"{:016x}{ETAG_SUFFIX}\"", known.id);
    if head.field("if-match").is_some_and(|wanted| wanted != "*" && wanted != etag) {
        return Reply::refusal(412, "PreconditionFailed", "another version is wanted");
    }
    let reply = match head.field("range").map(|field| range(field, known.bytes)) {
        Some(None) => {
            return Reply::refusal(416, "InvalidRange", "the range lies outside")
                .with("content-range", &format!("bytes */{}", known.bytes));
        }
        Some(Some((start, end))) => {
            let place = format!("bytes {start}-{}/{}", end - 1, known.bytes);
            let body = Body::Generated { object: known.id, offset: start, bytes: end - start };
            Reply::carrying(206, body).with("content-range", &place)
        }
        None => {
            let body = Body::Generated { object: known.id, offset: 0, bytes: known.bytes };
            let reply = Reply::carrying(200, body);
            if head.field("x-amz-checksum-mode").is_some() && !model.is_silent {
                with_checksum(reply, &checksum(model, &known))
            } else {
                reply
            }
        }
    };
    reply.of_object(&etag)
}

fn declared(stored: &Stored) -> Reply {
    let reply = Reply::carrying(200, Body::Absent(stored.bytes));
    with_checksum(reply, &stored.crc64nvme).of_object(&stored.etag())
}

fn with_checksum(reply: Reply, crc64nvme: &str) -> Reply {
    reply.with("x-amz-checksum-crc64nvme", crc64nvme).with("x-amz-checksum-type", "FULL_OBJECT")
}

/// Of large objects it is computed once.
fn checksum(model: &mut Model, known: &Known) -> String {
    const KEPT_BYTES_MIN: u64 = 1 << 20;
    const KEPT_MAX: usize = 100_000;
    if let Some(kept) = model.checksums.get(&known.id) {
        return kept.clone();
    }
    let computed = model.content.crc64nvme(&mut model.window, known.id, known.bytes);
    if known.bytes >= KEPT_BYTES_MIN && model.checksums.len() < KEPT_MAX {
        model.checksums.insert(known.id, computed.clone());
    }
    computed
}

/// `bytes=a-b`, `bytes=a-`, `bytes=-n` as half-open; `None` outside.
fn range(field: &str, bytes: u64) -> Option<(u64, u64)> {
    let (first, last) = field.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (first.parse::<u64>().ok(), last.parse::<u64>().ok()) {
        (Some(first), Some(last)) => (first, last.checked_add(1)?.min(bytes)),
        (Some(first), None) if last.is_empty() => (first, bytes),
        (None, Some(count)) if first.is_empty() => (bytes.saturating_sub(count), bytes),
        _ => return None,
    };
    (start < end).then_some((start, end))
}

fn put(
    model: &mut Model,
    head: &Head,
    target: &Target,
    digest: Digest,
    trailer: Option<&str>,
) -> Reply {
    let stored = Stored::of(&digest);
    let stated = head.field("x-amz-checksum-crc64nvme").or(trailer);
    if stated.is_some_and(|stated| stated != stored.crc64nvme) {
        return Reply::refusal(400, "BadDigest", "the body is not what its checksum says");
    }
    let kept = match (target.asks("uploadId"), target.asks("partNumber")) {
        (Some(id), number) => {
            let number = number.and_then(|text| text.parse().ok()).unwrap_or(0);
            if !model.sink.part(&target.key, id, number, digest) {
                return no_upload();
            }
            true
        }
        (None, _) => model.sink.put(&target.key, &digest),
    };
    if !kept {
        return full();
    }
    with_checksum(Reply::new(200), &stored.crc64nvme).with("etag", &stored.etag())
}

fn post(model: &mut Model, target: &Target) -> Reply {
    let key = &target.key;
    if target.asks("uploads").is_some() {
        return match model.sink.begin(key) {
            Some(id) => Reply::xml(format!(
                "<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key>\
                 <UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            )),
            None => full(),
        };
    }
    let Some(id) = target.asks("uploadId") else { return unknown() };
    match model.sink.complete(key, id) {
        Some(stored) => Reply::xml(format!(
            "<CompleteMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key>\
             <ETag>{}</ETag><ChecksumCRC64NVME>{}</ChecksumCRC64NVME>\
             <ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>",
            stored.etag().replace('"', "&quot;"),
            stored.crc64nvme
        )),
        None => no_upload(),
    }
}

fn unknown() -> Reply {
    Reply::refusal(501, "NotImplemented", "the model does not know this request")
}

fn no_upload() -> Reply {
    Reply::refusal(404, "NoSuchUpload", "there is no such upload, or nothing in it")
}

fn full() -> Reply {
    Reply::refusal(503, "SlowDown", "the model keeps no more uploads")
}

#[cfg(test)]
mod tests {
    use super::range;

    // RFC 9110, section 14.1.2: its examples for 10,000 bytes.
    #[test]
    fn ranges_as_in_the_rfc() {
        assert_eq!(range("bytes=0-499", 10_000), Some((0, 500)));
        assert_eq!(range("bytes=500-999", 10_000), Some((500, 1000)));
        assert_eq!(range("bytes=-500", 10_000), Some((9500, 10_000)));
        assert_eq!(range("bytes=9500-", 10_000), Some((9500, 10_000)));
        assert_eq!(range("bytes=9999-20000", 10_000), Some((9999, 10_000)));
        for outside in ["bytes=10000-", "bytes=5-4", "bytes=-0", "bytes=a-b", "lines=1-2"] {
            assert_eq!(range(outside, 10_000), None, "{outside}");
        }
    }
}
