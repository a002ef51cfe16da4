//! ListObjectsV2 answers as files: one for each prefix that ends in `/` and
//! page of 1,000 keys, named as nginx finds it: `PREFIX.PAGE`, the prefix as it
//! stands in a query string.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

const PAGE_KEYS: usize = 1000;
/// Longer prefixes make no file name.
const PREFIX_BYTES_MAX: usize = 240;

/// Writes the pages of every folder of `keys`, which name their files.
pub(super) fn write(folder: &Path, bucket: &str, keys: &BTreeMap<String, PathBuf>) -> Result<()> {
    let mut prefixes = BTreeSet::from([""]);
    for key in keys.keys() {
        prefixes.extend(key.match_indices('/').map(|(at, _)| &key[..=at]));
    }
    std::fs::write(folder.join("nothing"), page(bucket, &[], None)?)?;
    for prefix in prefixes {
        let name = encode(prefix);
        if name.len() > PREFIX_BYTES_MAX {
            continue;
        }
        let below: Vec<_> = keys.iter().filter(|(key, _)| key.starts_with(prefix)).collect();
        let pages = below.chunks(PAGE_KEYS).count().max(1);
        for number in 0..pages {
            let end = below.len().min((number + 1) * PAGE_KEYS);
            let next = (number + 1 < pages).then_some(number + 1);
            let text = page(bucket, &below[number * PAGE_KEYS..end], next)?;
            std::fs::write(folder.join(format!("{name}.{number}")), text)?;
        }
    }
    Ok(())
}

fn page(bucket: &str, keys: &[(&String, &PathBuf)], next: Option<usize>) -> Result<String> {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{bucket}</Name>\
         <MaxKeys>{PAGE_KEYS}</MaxKeys><KeyCount>{}</KeyCount><EncodingType>url</EncodingType>\
         <IsTruncated>{}</IsTruncated>",
        keys.len(),
        next.is_some(),
    );
    if let Some(next) = next {
        write!(xml, "<NextContinuationToken>{next}</NextContinuationToken>")?;
    }
    for (key, path) in keys {
        let about = std::fs::metadata(path)?;
        let bytes = if about.is_dir() { 0 } else { about.size() };
        // The entity tag that nginx gives: modification time and size.
        write!(
            xml,
            "<Contents><Key>{}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>\
             <ETag>&quot;{:x}-{bytes:x}&quot;</ETag><Size>{bytes}</Size></Contents>",
            encode(key),
            about.mtime(),
        )?;
    }
    xml.push_str("</ListBucketResult>");
    Ok(xml)
}

/// RFC 3986: everything but unreserved characters as `%XX`.
fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
