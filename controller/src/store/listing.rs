//! Pages of a listing, in S3's order: by the bytes of the UTF-8 key.
//!
//! A page costs what it returns: the index is entered at the resume point, and
//! a common prefix is left by jumping to the first key after it, however many
//! keys it hides.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as TOKEN;

use super::error::{StoreError, StoreResult};
use super::object::Object;

/// A page has at most this many entries (S3's rule).
pub const PAGE_KEYS_MAX: usize = 1000;

/// Where a page begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Resume {
    /// At the first key.
    #[default]
    Start,
    /// After this key or, if it is a common prefix, after all it covers.
    After(String),
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pub(super) prefix: String,
    pub(super) delimiter: Option<String>,
    pub(super) resume: Resume,
    pub(super) max_keys: usize,
}

/// One page.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<(String, Arc<Object>)>,
    pub(super) prefixes: Vec<String>,
    /// The last entry returned, when there is more.
    pub(super) next: Option<String>,
}

/// Takes one page out of an index.
pub(super) fn page(index: &BTreeMap<String, Arc<Object>>, query: &Query) -> Page {
    let mut page = Page::default();
    let mut from = start(query);
    let mut last = None;
    while let Some(bound) = from.take() {
        let Some((key, object)) = index.range::<str, _>((as_ref(&bound), Bound::Unbounded)).next()
        else {
            break;
        };
        if !key.starts_with(&query.prefix) {
            break;
        }
        if page.objects.len() + page.prefixes.len() == query.max_keys {
            page.next = last;
            break;
        }
        match common_prefix(key, query) {
            Some(prefix) => {
                from = after_prefix(prefix).map(Bound::Included);
                last = Some(prefix.to_owned());
                page.prefixes.push(prefix.to_owned());
            }
            None => {
                from = Some(Bound::Excluded(key.clone()));
                last = Some(key.clone());
                page.objects.push((key.clone(), Arc::clone(object)));
            }
        }
    }
    page
}

fn start(query: &Query) -> Option<Bound<String>> {
    let Resume::After(after) = &query.resume else {
        return Some(Bound::Included(query.prefix.clone()));
    };
    let covers = after.starts_with(&query.prefix) && common_prefix(after, query) == Some(after);
    let bound =
        if covers { Bound::Included(after_prefix(after)?) } else { Bound::Excluded(after.clone()) };
    let begins = match &bound {
        Bound::Included(key) | Bound::Excluded(key) => key.as_str(),
        Bound::Unbounded => "",
    };
    Some(if begins < query.prefix.as_str() { Bound::Included(query.prefix.clone()) } else { bound })
}

fn as_ref(bound: &Bound<String>) -> Bound<&str> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

fn common_prefix<'a>(key: &'a str, query: &Query) -> Option<&'a str> {
    let delimiter = query.delimiter.as_deref().filter(|d| !d.is_empty())?;
    let rest = key.get(query.prefix.len()..)?;
    let at = rest.find(delimiter)?;
    key.get(..query.prefix.len() + at + delimiter.len())
}

/// The least string above every string that starts with `prefix`.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        if let Some(next) = successor(last) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

fn successor(c: char) -> Option<char> {
    match c {
        '\u{d7ff}' => Some('\u{e000}'),
        char::MAX => None,
        c => char::from_u32(u32::from(c) + 1),
    }
}

/// A continuation token for a resume point.
pub(super) fn token(next: &str) -> String {
    TOKEN.encode(next)
}

/// Reads a continuation token.
pub(super) fn parse_token(token: &str) -> StoreResult<Resume> {
    let text = TOKEN.decode(token).ok().and_then(|raw| String::from_utf8(raw).ok());
    text.map(Resume::After).ok_or_else(|| {
        StoreError::InvalidArgument("the continuation token is not one of this store".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::object::ObjectInfo;

    fn index<S: Into<String>>(keys: impl IntoIterator<Item = S>) -> BTreeMap<String, Arc<Object>> {
        let info = ObjectInfo {
            size: 0,
            etag: String::new(),
            modified_ms: 0,
            attributes: Default::default(),
            checksums: Default::default(),
            segments: Vec::new(),
            upload: None,
        };
        let object = Arc::new(Object { info, files: Vec::new() });
        keys.into_iter().map(|key| (key.into(), Arc::clone(&object))).collect()
    }

    fn walk(index: &BTreeMap<String, Arc<Object>>, mut query: Query) -> Vec<String> {
        let mut found = Vec::new();
        loop {
            let page = page(index, &query);
            let mut entries: Vec<String> = page.objects.into_iter().map(|(key, _)| key).collect();
            entries.extend(page.prefixes);
            entries.sort();
            found.extend(entries);
            match page.next {
                Some(next) => query.resume = Resume::After(next),
                None => return found,
            }
        }
    }

    fn query(prefix: &str, delimiter: Option<&str>, max_keys: usize) -> Query {
        let (prefix, delimiter) = (prefix.to_owned(), delimiter.map(str::to_owned));
        Query { prefix, delimiter, resume: Resume::Start, max_keys }
    }

    #[test]
    fn a_delimiter_of_any_character_is_left_behind() {
        // The last code point before the surrogates, and the last of all.
        for delimiter in ["/", "--", "\u{d7ff}", "\u{10ffff}"] {
            let keys = ["a", "b{}x", "b{}y{}z", "b{}", "c{}", "d"];
            let keys = keys.map(|key| key.replace("{}", delimiter));
            for max_keys in 1..=4 {
                let expected = ["a", "b{}", "c{}", "d"].map(|key| key.replace("{}", delimiter));
                let mut expected = expected.to_vec();
                expected.sort();
                let found = walk(&index(keys.clone()), query("", Some(delimiter), max_keys));
                assert_eq!(found, expected, "{delimiter:?}, {max_keys} a page");
            }
        }
    }

    #[test]
    fn a_key_that_ends_in_the_delimiter_is_a_key_under_its_own_prefix() {
        let index = index(["dir/", "dir/a", "dir/b/c"]);
        assert_eq!(walk(&index, query("dir/", Some("/"), 1)), ["dir/", "dir/a", "dir/b/"]);
        assert_eq!(walk(&index, query("", Some("/"), 1)), ["dir/"]);
        assert_eq!(walk(&index, query("dir/", None, 2)), ["dir/", "dir/a", "dir/b/c"]);
    }

    #[test]
    fn two_hundred_thousand_keys_are_walked_once() {
        let keys: Vec<String> = (0..200_000).map(|n| format!("{:03}/{n:06}", n / 1000)).collect();
        let index = index(keys.clone());
        assert!(walk(&index, query("", None, 1000)) == keys);
        assert_eq!(walk(&index, query("", Some("/"), 7)).len(), 200);
    }

    #[test]
    fn a_start_outside_the_prefix_loses_nothing() {
        let index = index(["a", "b/1", "b/2", "c"]);
        let after = |key: &str, prefix| {
            let resume = Resume::After(key.to_owned());
            walk(&index, Query { resume, ..query(prefix, None, 1000) })
        };
        assert_eq!(after("a", "b/"), ["b/1", "b/2"]);
        assert_eq!(after("b/1", "b/"), ["b/2"]);
        assert_eq!(after("c", "b/"), Vec::<String>::new());
        assert_eq!(after("zz", ""), Vec::<String>::new());
    }
}
