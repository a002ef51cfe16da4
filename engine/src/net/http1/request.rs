//! Writes request heads.

/// The methods that object bytes need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD, whose answer has no body.
    Head,
    /// PUT.
    Put,
}

impl Method {
    /// The method as it stands in the request line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
        }
    }
}

/// A field or target that would break out of its line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the request's {0} holds a control character or a space that HTTP does not allow there")]
pub struct HeadRefused(String);

/// A request head, ready to send.
#[derive(Clone, Debug)]
pub struct RequestHead {
    method: Method,
    bytes: Vec<u8>,
}

impl RequestHead {
    /// Begins a head; `target` is the origin form, already percent-encoded.
    ///
    /// # Errors
    /// The target is not printable ASCII without spaces.
    pub fn new(method: Method, target: &str) -> Result<Self, HeadRefused> {
        if !target.starts_with('/') || !target.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(HeadRefused("target".to_owned()));
        }
        let bytes = format!("{} {target} HTTP/1.1\r\n", method.name()).into_bytes();
        Ok(Self { method, bytes })
    }

    /// Adds a field; `name` is a token of ours.
    ///
    /// # Errors
    /// The value holds CR, LF, NUL or another control character.
    pub fn field(&mut self, name: &str, value: &str) -> Result<(), HeadRefused> {
        if value.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
            return Err(HeadRefused(name.to_owned()));
        }
        for piece in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            self.bytes.extend_from_slice(piece);
        }
        Ok(())
    }

    /// Ends the head.
    #[must_use]
    pub fn end(mut self) -> Self {
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    /// Adds the first bytes of the body, which go out with an ended head.
    #[must_use]
    pub fn followed_by(mut self, body: &str) -> Self {
        self.bytes.extend_from_slice(body.as_bytes());
        self
    }

    /// The same request as a proxy takes it: the target in absolute form
    /// (RFC 9112, section 3.2.2), and the proxy's credentials.
    pub(in crate::net) fn forwarded(&self, origin: &str, authorization: Option<&str>) -> Vec<u8> {
        let target = self.method.name().len() + 1;
        let (before, after) = self.bytes.split_at(target.min(self.bytes.len()));
        let mut bytes = [before, origin.as_bytes(), after].concat();
        if let Some(value) = authorization {
            // Behind the request line: what follows the head is the body.
            let line = bytes.windows(2).position(|pair| pair == b"\r\n");
            let start = line.map_or(bytes.len(), |end| end + 2);
            let field = format!("Proxy-Authorization: {value}\r\n");
            bytes.splice(start..start, field.into_bytes());
        }
        bytes
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The bytes to send.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
