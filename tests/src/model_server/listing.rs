//! ListObjectsV2: a page of keys in order, counted out as it is asked for. Only
//! where a page or a folder begins is a key searched for.

use super::catalog::{Catalog, Known};
use super::query::{Target, encode};
use super::reply::{ETAG_SUFFIX, MODIFIED_ISO};
use super::sink::Sink;

const PAGE_KEYS_MAX: usize = 1_000;
/// Sorts after every key that continues a prefix.
const LAST: char = char::MAX;

/// The answer's body.
pub(super) fn page(catalog: &Catalog, sink: &Sink, target: &Target) -> String {
    let prefix = target.asks("prefix").unwrap_or_default();
    let delimiter = target.asks("delimiter").filter(|text| !text.is_empty());
    let asked = target.asks("max-keys").and_then(|text| text.parse().ok());
    let keys_max = asked.unwrap_or(PAGE_KEYS_MAX).min(PAGE_KEYS_MAX);
    let after = target.asks("continuation-token").or(target.asks("start-after"));
    let mut walk = Walk::from(catalog, sink, first(prefix, after));
    let (mut entries, mut count, mut more, mut last) = (String::new(), 0, false, String::new());
    let name = |text: &str| {
        if target.asks("encoding-type") == Some("url") { encode(text) } else { escape(text) }
    };
    while let Some(known) = walk.next().filter(|known| known.key.starts_with(prefix)) {
        if count == keys_max {
            more = true;
            break;
        }
        count += 1;
        let common = delimiter.and_then(|delimiter| {
            let below = &known.key[prefix.len()..];
            below.find(delimiter).map(|at| &known.key[..prefix.len() + at + delimiter.len()])
        });
        if let Some(common) = common {
            entries +=
                &format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", name(common));
            walk = Walk::from(catalog, sink, format!("{common}{LAST}"));
        } else {
            entries += &entry(&known, &name(&known.key));
        }
        last.clone_from(&walk.bound);
    }
    let next = if more {
        format!("<NextContinuationToken>{}</NextContinuationToken>", encode(&last))
    } else {
        String::new()
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Name>{}</Name><Prefix>{}</Prefix>{}{}<MaxKeys>{keys_max}</MaxKeys>\
         <KeyCount>{count}</KeyCount><IsTruncated>{more}</IsTruncated>{next}{entries}\
         </ListBucketResult>",
        escape(&target.bucket),
        name(prefix),
        delimiter.map_or_else(String::new, |text| format!("<Delimiter>{}</Delimiter>", name(text))),
        target.asks("encoding-type").map_or("", |_| "<EncodingType>url</EncodingType>"),
    )
}

/// Where a page starts. A token is the bound that the page before ended at,
/// percent-encoded.
fn first(prefix: &str, after: Option<&str>) -> String {
    let after = after.map(|token| Target::parse(&format!("/x/{token}")).key);
    after.map_or_else(|| prefix.to_owned(), |bound| bound.max(prefix.to_owned()))
}

/// Keys from a bound on, of the catalog and of the sink together.
struct Walk<'a> {
    catalog: &'a Catalog,
    sink: &'a Sink,
    bound: String,
    /// Of the catalog's first object at or after the bound.
    number: u64,
}

impl<'a> Walk<'a> {
    fn from(catalog: &'a Catalog, sink: &'a Sink, bound: String) -> Self {
        Self { catalog, sink, number: catalog.from(&bound), bound }
    }

    /// The next object; the bound moves behind it.
    fn next(&mut self) -> Option<Known> {
        let known = self.catalog.nth(self.number);
        let put = self.sink.from(&self.bound);
        let made = known.as_ref().map(|known| known.key.clone());
        let next = match (known, put) {
            (Some(known), Some(put)) => Some(if known.key < put.key { known } else { put }),
            (known, put) => known.or(put),
        }?;
        self.number += u64::from(made.as_ref() == Some(&next.key));
        self.bound = format!("{}\0", next.key);
        Some(next)
    }
}

fn entry(known: &Known, name: &str) -> String {
    format!(
        "<Contents><Key>{name}</Key><LastModified>{MODIFIED_ISO}</LastModified>\
         <ETag>&quot;{:016x}{ETAG_SUFFIX}&quot;</ETag><Size>{}</Size>\
         <StorageClass>STANDARD</StorageClass></Contents>",
        known.id, known.bytes
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_server::Dataset;

    fn keys(text: &str, tag: &str) -> Vec<String> {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let pieces = text.split(&open).skip(1);
        pieces.filter_map(|rest| rest.split(&close).next()).map(str::to_owned).collect()
    }

    fn ask(query: &str) -> String {
        let catalog = Catalog::new(vec![Dataset::new("a", 2, 5), Dataset::new("b", 2500, 7)]);
        page(&catalog, &Sink::default(), &Target::parse(&format!("/bench?list-type=2&{query}")))
    }

    #[test]
    fn pages_follow_each_other_without_gap() {
        let (mut found, mut token) = (Vec::new(), String::new());
        for expected in [1000, 1000, 500] {
            let text = ask(&format!("prefix=b%2F&continuation-token={}", encode(&token)));
            let page = keys(&text, "Key");
            assert_eq!(page.len(), expected);
            found.extend(page);
            token = keys(&text, "NextContinuationToken").pop().unwrap_or_default();
            assert_eq!(token.is_empty(), expected == 500);
        }
        let all: Vec<String> = (0..2500).map(|n| format!("b/{:04}/{n:07}.bin", n / 1000)).collect();
        assert_eq!(found, all);
    }

    #[test]
    fn folders_are_seen_as_such() {
        let text = ask("delimiter=%2F");
        assert_eq!(keys(&text, "Prefix"), ["", "a/", "b/"]);
        assert_eq!(keys(&text, "Key"), [""; 0]);
        let text = ask("prefix=b/&delimiter=/&max-keys=2");
        assert_eq!(keys(&text, "Prefix"), ["b/", "b/0000/", "b/0001/"]);
        assert_eq!(keys(&text, "IsTruncated"), ["true"]);
        let text = ask("prefix=a/&delimiter=/");
        assert_eq!(keys(&text, "Key"), ["a/0000000.bin", "a/0000001.bin"]);
        assert_eq!(keys(&text, "Size"), ["5", "5"]);
        assert_eq!(keys(&text, "IsTruncated"), ["false"]);
        assert_eq!(keys(&ask("prefix=none"), "KeyCount"), ["0"]);
    }
}
