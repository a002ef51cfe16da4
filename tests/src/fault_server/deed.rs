//! What S3 does for a request that nothing happens to.

use super::answer::{Answer, texts};
use super::attributes::attributes;
use super::checksum;
use super::request::{Request, encode};
use super::script::Call;
use super::table::{Named, Object, Refused, Table};
use super::wire::Body;

const KEYS_MAX: usize = 1_000;

/// Does what `call` asks for.
pub(super) fn deed(table: &mut Table, call: Call, request: &Request, body: Body) -> Answer {
    if let Err((code, why)) = declared(request, &body) {
        return Answer::refusal(400, code, &why);
    }
    let (_, key) = request.names();
    let upload = request.parameter("uploadId").unwrap_or_default();
    let kind = request.field("content-type").map(str::to_owned);
    // Checked above.
    let crc = request.field("x-amz-checksum-crc64nvme");
    let taken = request.field("if-none-match") == Some("*") && table.get(&key).is_some();
    let done = match call {
        Call::Put | Call::Complete if taken => Err((412, "PreconditionFailed")),
        Call::List => Ok(list(table, request)),
        Call::HeadBucket => Ok(Answer::empty(200).with("x-amz-bucket-region", super::REGION)),
        Call::BucketLocation => Ok(Answer::xml("<LocationConstraint/>")),
        Call::Head | Call::GetWhole | Call::GetRange => read(table, &key, request),
        Call::Attributes => attributes(table, &key, request),
        Call::Put => Ok(stored(&table.put(&key, body.bytes, kind, crc))),
        Call::Create => Ok(Answer::xml(format!(
            "<InitiateMultipartUploadResult><UploadId>{}</UploadId>\
             </InitiateMultipartUploadResult>",
            table.create(&key, kind)
        ))),
        Call::UploadPart => {
            let number = request.parameter("partNumber").and_then(|text| text.parse().ok());
            table
                .part((&key, &upload), number.unwrap_or(0), body.bytes, crc)
                .map(|part| stored(&part))
        }
        Call::Complete => complete(table, (&key, &upload), request, &body.bytes),
        Call::Abort => table.abort(&key, &upload).map(|()| Answer::empty(204)),
        Call::Delete => {
            table.delete(&key);
            Ok(Answer::empty(204))
        }
        Call::DeleteMany => Ok(delete_many(table, &body.bytes)),
    };
    done.unwrap_or_else(|(status, code)| Answer::refusal(status, code, "checked by the server"))
}

fn declared(request: &Request, body: &Body) -> Result<(), (&'static str, String)> {
    // A completion declares the checksum of the object, not of its own body.
    if request.call() != Some(Call::Complete) {
        checksum::check(&request.fields, &body.bytes)?;
    }
    checksum::check(&body.trailer, &body.bytes)?;
    let told = |name: &str| request.field(name).is_some();
    let sums = ["content-md5", "x-amz-checksum-crc64nvme", "x-amz-checksum-crc32"];
    if request.call() == Some(Call::DeleteMany) && !sums.iter().any(|name| told(name)) {
        return Err(("InvalidRequest", "DeleteObjects needs a checksum".to_owned()));
    }
    Ok(())
}

fn stored(object: &Object) -> Answer {
    Answer::empty(200)
        .with("ETag", &*object.etag)
        .with("x-amz-checksum-crc64nvme", &*object.crc64nvme)
        .with("x-amz-checksum-type", "FULL_OBJECT")
}

fn read(table: &Table, key: &str, request: &Request) -> Refused<Answer> {
    let object = table.get(key).ok_or((404, "NoSuchKey"))?;
    if request.field("if-match").is_some_and(|tag| tag != object.etag) {
        return Err((412, "PreconditionFailed"));
    }
    let total = object.bytes.len();
    let mut answer = Answer::empty(200)
        .with("ETag", &*object.etag)
        .with("Accept-Ranges", "bytes")
        .with("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        .with("Content-Type", object.content_type.as_deref().unwrap_or("binary/octet-stream"));
    if let Some((name, value)) = object.encryption {
        answer.set(name, value.to_owned());
    }
    if let Some(range) = request.field("range") {
        let (first, last) = span(range, total).ok_or((416, "InvalidRange"))?;
        answer.status = 206;
        answer.set("Content-Range", format!("bytes {first}-{last}/{total}"));
        answer.body = object.bytes[first..=last].to_vec();
        return Ok(answer);
    }
    let wanted = request.field("x-amz-checksum-mode").is_some_and(|mode| mode == "ENABLED");
    if let Some(declared) = object.declared.as_ref().filter(|_| wanted) {
        answer.set(declared.field, declared.value.clone());
        answer.set("x-amz-checksum-type", declared.kind().to_owned());
    }
    if wanted && !object.crc64nvme.is_empty() {
        answer.set("x-amz-checksum-crc64nvme", object.crc64nvme.clone());
        answer.set("x-amz-checksum-type", "FULL_OBJECT".to_owned());
    }
    answer.head_only = request.method == "HEAD";
    answer.body = object.bytes.to_vec();
    Ok(answer)
}

/// `bytes=first-last` (RFC 9110 §14.2), one range, as the engine asks.
fn span(range: &str, total: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let last: usize = if last.is_empty() { total } else { last.parse().ok()? };
    (first < total && first <= last).then(|| (first, last.min(total - 1)))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn list(table: &Table, request: &Request) -> Answer {
    let prefix = request.parameter("prefix").unwrap_or_default();
    let delimiter = request.parameter("delimiter").filter(|text| !text.is_empty());
    let after = request.parameter("continuation-token").or(request.parameter("start-after"));
    let asked = request.parameter("max-keys").and_then(|text| text.parse().ok());
    let most = asked.unwrap_or(KEYS_MAX).min(table.page_keys);
    let coded = request.parameter("encoding-type").is_some_and(|kind| kind == "url");
    let name = |key: &str| if coded { encode(key) } else { escaped(key) };
    let (mut out, mut count, mut last, mut more) = (String::new(), 0, String::new(), false);
    let after = after.unwrap_or_default();
    for (key, object) in table.after(&after).filter(|(key, _)| key.starts_with(&prefix)) {
        let folder = delimiter.as_ref().and_then(|delimiter| {
            let end = key[prefix.len()..].find(delimiter.as_str())? + prefix.len();
            Some(&key[..end + delimiter.len()])
        });
        // A continuation within a folder that was listed already.
        if folder.is_some_and(|folder| last == folder || after == folder) {
            continue;
        }
        if count == most {
            more = true;
            break;
        }
        count += 1;
        last = folder.unwrap_or(key).to_owned();
        out.push_str(&match folder {
            Some(folder) => {
                format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", name(folder))
            }
            None => entry(&name(key), object.bytes.len(), &object.etag),
        });
    }
    let next = format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(&last));
    let next = if more { next } else { String::new() };
    let coding = if coded { "<EncodingType>url</EncodingType>" } else { "" };
    Answer::xml(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\
         \"http://s3.amazonaws.com/doc/2006-03-01/\"><Prefix>{}</Prefix><KeyCount>{count}\
         </KeyCount><MaxKeys>{most}</MaxKeys>{coding}<IsTruncated>{more}</IsTruncated>{next}{out}\
         </ListBucketResult>",
        name(&prefix)
    ))
}

/// One object of a listing.
pub(super) fn entry(key: &str, bytes: usize, etag: &str) -> String {
    format!(
        "<Contents><Key>{key}</Key><LastModified>2015-10-21T07:28:00.000Z</LastModified>\
         <ETag>{}</ETag><Size>{bytes}</Size></Contents>",
        escaped(etag)
    )
}

fn complete(
    table: &mut Table,
    upload: (&str, &str),
    request: &Request,
    body: &[u8],
) -> Refused<Answer> {
    let document = String::from_utf8_lossy(body);
    let first = |part: &str, name: &str| texts(part, name).into_iter().next();
    let named: Option<Vec<Named>> = texts(&document, "Part")
        .iter()
        .map(|part| {
            Some(Named {
                number: first(part, "PartNumber")?.parse().ok()?,
                etag: first(part, "ETag")?,
                crc64nvme: first(part, "ChecksumCRC64NVME"),
            })
        })
        .collect();
    let named = named.ok_or((400, "MalformedXML"))?;
    let object = table.complete(upload, &named, request.field("x-amz-checksum-crc64nvme"))?;
    Ok(Answer::xml(format!(
        "<CompleteMultipartUploadResult><ETag>{}</ETag><ChecksumCRC64NVME>{}</ChecksumCRC64NVME>\
         <ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>",
        escaped(&object.etag),
        object.crc64nvme
    )))
}

fn delete_many(table: &mut Table, body: &[u8]) -> Answer {
    let document = String::from_utf8_lossy(body);
    let keys = texts(&document, "Key");
    if keys.is_empty() || keys.len() > KEYS_MAX {
        return Answer::refusal(400, "MalformedXML", "one to a thousand keys");
    }
    let quiet = texts(&document, "Quiet").first().is_some_and(|quiet| quiet == "true");
    let mut out = String::new();
    for key in &keys {
        if let Some(code) = table.keeps(key) {
            let key = escaped(key);
            out.push_str(&format!("<Error><Key>{key}</Key><Code>{code}</Code></Error>"));
            continue;
        }
        table.delete(key);
        if !quiet {
            out.push_str(&format!("<Deleted><Key>{}</Key></Deleted>", escaped(key)));
        }
    }
    Answer::xml(format!("<DeleteResult>{out}</DeleteResult>"))
}
