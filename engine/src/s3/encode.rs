//! Percent-encoding as S3 signs it: every byte but the unreserved ones of
//! RFC 3986 §2.3 becomes `%XX`, once.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &VALUE.remove(b'/');

/// A key as it stands in a request's path: slashes stay, also doubled ones,
/// and so do dots, which S3 does not resolve.
pub fn path(key: &str) -> String {
    utf8_percent_encode(key, PATH).to_string()
}

/// A value as it stands in a query.
pub fn value(text: &str) -> String {
    utf8_percent_encode(text, VALUE).to_string()
}

/// A key out of a listing with `encoding-type=url`: `+` is a space there.
/// `None` when the bytes are not UTF-8, which no key is.
pub fn decode_listed(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(decoded.into_owned())
}
