//! Documents are read to their end.
//!
//! The SDK's reader takes what has come when a document ends early, so a
//! listing that lost its second half on the way would pass for a short one.

use aws_sdk_s3::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

/// A document that ended before its root element did.
#[derive(Debug, thiserror::Error)]
#[error("the document ends before its end")]
pub(super) struct Cut;

/// Looks at every answer.
#[derive(Debug)]
pub(super) struct Whole;

impl Intercept for Whole {
    fn name(&self) -> &'static str {
        "Whole"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let document = response.body().bytes().unwrap_or_default();
        if response.status().is_success() && is_cut(document) { Err(Cut.into()) } else { Ok(()) }
    }
}

/// Whether `document` opens an element first that it does not close last.
fn is_cut(document: &[u8]) -> bool {
    let text = String::from_utf8_lossy(document);
    let Some(root) = root(&text) else { return !text.trim().is_empty() };
    let end = text.trim_end();
    let closed = end.strip_suffix('>').map(str::trim_end).and_then(|end| end.strip_suffix(root));
    let alone = text.matches('<').count() <= 2 && end.ends_with("/>");
    !alone && !closed.is_some_and(|before| before.ends_with("</"))
}

/// The name of the first element.
fn root(text: &str) -> Option<&str> {
    let elements = text.split('<').skip(1);
    let mut named = elements.filter(|element| !element.starts_with(['?', '!']));
    named.next()?.split(|c: char| c.is_whitespace() || c == '>' || c == '/').next()
}

#[cfg(test)]
mod tests {
    use super::is_cut;

    #[test]
    fn what_ends_early_is_told_from_what_does_not() {
        let whole = "<?xml version=\"1.0\"?>\n<!-- a --><A xmlns=\"u\"><B>1</B><C/></A>\n";
        for text in [whole, "", " \n", "<A/>", "<?xml version=\"1.0\"?><A />", "<A></A >"] {
            assert!(!is_cut(text.as_bytes()), "{text:?}");
        }
        let end = whole.trim_end().len();
        let begin = whole.find("<A").unwrap_or(0);
        for at in begin + 1..end {
            assert!(is_cut(&whole.as_bytes()[..at]), "{:?}", &whole[..at]);
        }
        assert!(is_cut(b"not even a beginning"));
    }
}
