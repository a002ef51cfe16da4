//! A request's head, read.

use super::script::Call;

/// A head; field names are in lower case.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// As it was sent, up to `?`.
    pub(super) path: String,
    /// As it was sent, after `?`.
    pub(super) query: String,
    pub(super) fields: Vec<(String, String)>,
}

impl Request {
    /// Reads a head without its empty line.
    pub(super) fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        if words.next() != Some("HTTP/1.1") {
            return None;
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let fields = lines
            .map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect::<Option<_>>()?;
        Some(Self { method, path: path.to_owned(), query: query.to_owned(), fields })
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// A decoded parameter; one without `=` is empty.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| decode(value))
        })
    }

    /// Bucket and key; the key is empty where there is none.
    pub(super) fn names(&self) -> (String, String) {
        let path = self.path.trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        (decode(bucket), decode(key))
    }

    /// What scripts and counts call it by: the key, or the prefix of a
    /// listing.
    pub(super) fn subject(&self) -> String {
        let (_, key) = self.names();
        if key.is_empty() { self.parameter("prefix").unwrap_or_default() } else { key }
    }

    pub(super) fn call(&self) -> Option<Call> {
        let has = |name: &str| self.parameter(name).is_some();
        let (_, key) = self.names();
        Some(match (self.method.as_str(), key.is_empty()) {
            ("GET", true) if has("location") => Call::BucketLocation,
            ("GET", true) if has("list-type") => Call::List,
            ("HEAD", true) => Call::HeadBucket,
            ("POST", true) if has("delete") => Call::DeleteMany,
            ("GET", false) if has("attributes") => Call::Attributes,
            ("GET", false) if self.field("range").is_some() => Call::GetRange,
            ("GET", false) => Call::GetWhole,
            ("HEAD", false) => Call::Head,
            ("PUT", false) if has("uploadId") => Call::UploadPart,
            ("PUT", false) => Call::Put,
            ("POST", false) if has("uploads") => Call::Create,
            ("POST", false) if has("uploadId") => Call::Complete,
            ("DELETE", false) if has("uploadId") => Call::Abort,
            ("DELETE", false) => Call::Delete,
            _ => return None,
        })
    }

    pub(super) fn keeps_alive(&self) -> bool {
        !self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Percent-decodes; what is not UTF-8 then is replaced.
pub(super) fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let pair = (byte == b'%').then(|| {
            let digits = [bytes.next()?, bytes.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
        });
        out.push(pair.flatten().unwrap_or(byte));
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encodes as S3 does in listings with `encoding-type=url`.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
