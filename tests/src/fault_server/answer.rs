//! An answer before anything happens to it.

/// Status, fields and body.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// A HEAD's: the body is announced, and not sent.
    pub(super) head_only: bool,
}

impl Answer {
    pub(super) fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(super) fn xml(body: impl Into<Vec<u8>>) -> Self {
        Self::of(200, body.into())
    }

    pub(super) fn of(status: u16, body: Vec<u8>) -> Self {
        let fields = vec![("Content-Type", "application/xml".to_owned())];
        Self { status, fields, body, head_only: false }
    }

    /// S3's error document.
    pub(super) fn refusal(status: u16, code: &str, message: &str) -> Self {
        Self::of(status, document(code, message).into_bytes())
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.set(name, value.into());
        self
    }

    /// Replaces a field.
    pub(super) fn set(&mut self, name: &'static str, value: String) {
        self.fields.retain(|(field, _)| *field != name);
        self.fields.push((name, value));
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str())
    }

    /// The head, announcing `length` bytes.
    pub(super) fn head(&self, length: u64, keep_alive: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status != 204 {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        if !keep_alive {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// S3's error document.
pub(super) fn document(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>{message}</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>"
    )
}

/// The texts of all elements `name`, entities resolved.
pub(super) fn texts(document: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let inner = document.split(open.as_str()).skip(1);
    inner
        .filter_map(|rest| rest.split_once(close.as_str()))
        .map(|(text, _)| {
            text.replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&quot;", "\"")
                .replace("&#34;", "\"")
                .replace("&apos;", "'")
                .replace("&amp;", "&")
        })
        .collect()
}
