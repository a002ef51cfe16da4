//! Entry points for fuzzing: each takes any bytes and states, beside "no panic",
//! what must hold of whatever the engine makes of them.
//!
//! `fuzz/` hands them to libFuzzer, and a plain test runs them over the corpus.
//! The feature `fuzz` has them; no program enables it.
//!
//! # Panics
//! All of them, where what they state does not hold: that is the finding.

use std::error::Error as _;
use std::path::{Component, Path};

use crate::access::CredentialFile;
use crate::error::{ErrorKind, Result};
use crate::job::Select;
use crate::net::http1::head::HEAD_BYTES_MAX;
use crate::net::http1::{Body, BodyFault, Method, ResponseHead};
use crate::path::{self, Filter};
use crate::s3::xml_text;
use crate::uri::Uri;

/// An entry point.
pub type Target = fn(&[u8]);

/// Every entry point, under the name of its corpus.
pub const TARGETS: [(&str, Target); 8] = [
    ("head", head),
    ("chunked", chunked),
    ("xml", xml),
    ("journal", journal),
    ("uri", uri),
    ("config", config),
    ("path", path),
    ("filter", filter),
];

/// A response head: no earlier cut of it is complete or refused, nothing behind
/// it counts, it is not framed twice, and written anew it is read as the same.
pub fn head(bytes: &[u8]) {
    let _ = ResponseHead::parse(bytes, Method::Head);
    let Ok(Some((head, body, taken))) = ResponseHead::parse(bytes, Method::Get) else { return };
    assert!(taken <= bytes.len().min(HEAD_BYTES_MAX) && head.status >= 200);
    for cut in (0..taken).step_by(1 + taken / 64).chain([taken - 1]) {
        assert_eq!(ResponseHead::parse(&bytes[..cut], Method::Get), Ok(None), "cut at {cut}");
    }
    let alone = ResponseHead::parse(&bytes[..taken], Method::Get);
    assert_eq!(alone, Ok(Some((head.clone(), body.clone(), taken))));
    let framings = ["content-length", "transfer-encoding"];
    assert!(head.fields().filter(|(name, _)| framings.contains(name)).count() <= 1);

    let fields: String = head.fields().map(|(n, value)| format!("{n}:{value}\r\n")).collect();
    let again = format!("HTTP/1.1 {} \r\n{fields}\r\n", head.status);
    if again.len() > HEAD_BYTES_MAX {
        return;
    }
    let parsed = ResponseHead::parse(again.as_bytes(), Method::Get);
    let (other, other_body, _) = parsed.ok().flatten().expect("what was read can be written");
    assert!(head.fields().eq(other.fields()));
    assert_eq!((head.status, body), (other.status, other_body));
}

/// A chunked body, cut at every so many bytes as the first byte says: the cuts
/// make no difference, and any bytes come back from their own coding.
pub fn chunked(bytes: &[u8]) {
    let Some((step, coded)) = bytes.split_first() else { return };
    let step = usize::from(*step) + 1;
    assert_eq!(decoded(coded, step), decoded(coded, coded.len().max(1)));

    let chunks = coded.chunks(step);
    let mut own: Vec<u8> = chunks
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .collect();
    own.extend_from_slice(b"0\r\n\r\n");
    let all = own.len();
    own.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    assert_eq!(decoded(&own, step), Ok((coded.to_vec(), all, true)));
}

/// The content, how many bytes it took, and whether it is complete.
fn decoded(coded: &[u8], step: usize) -> std::result::Result<(Vec<u8>, usize, bool), BodyFault> {
    let (mut body, mut content, mut taken) = (Body::chunked(), Vec::new(), 0);
    for piece in coded.chunks(step) {
        let mut piece = piece.to_vec();
        let (used, made) = body.decode(&mut piece)?;
        assert!(made <= used && (used == piece.len() || body.is_done()));
        content.extend_from_slice(&piece[..made]);
        taken += used;
    }
    assert_eq!(body.ended().is_ok(), body.is_done());
    Ok((content, taken, body.is_done()))
}

/// An error document: what is found in it fits a line of a log, and any text
/// that is written as XML 1.0 wants it is found again.
pub fn xml(bytes: &[u8]) {
    let document = String::from_utf8_lossy(bytes);
    for name in ["Code", "Message", "Region", "Header", "ArgumentName"] {
        let Some(text) = xml_text(&document, name) else { continue };
        assert!(!text.is_empty() && text.chars().count() <= 300, "{text:?}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    let wanted: String = document.trim().chars().filter(|c| !c.is_control()).take(300).collect();
    let wanted = wanted.trim();
    let written = wanted.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let written = written.replace('"', "&quot;").replace('\'', "&apos;");
    let document = format!("<Error><Message>{written}</Message></Error>");
    assert_eq!(xml_text(&document, "Message").unwrap_or_default(), wanted);
}

/// A journal's file: each record that is read has the bytes that its writer
/// gives it, and the last word on an object is the one that is found.
pub fn journal(bytes: &[u8]) {
    crate::disk::journal::fuzz(bytes).expect("the folder for temporary files can be written");
}

/// A remote URI: what is read is written so that it is read as the same, and no
/// part of it holds what separates the parts.
pub fn uri(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Some(uri) = accepted(Uri::parse(&text), ErrorKind::Usage) else { return };
    let written = uri.to_string();
    assert!(text == written || *text == format!("{written}/"), "{text:?} became {written:?}");
    assert_eq!(Uri::parse(&written).ok(), Some(uri.clone()));
    assert!(!uri.bucket().is_empty() && !uri.bucket().contains('/'));
    assert!(!uri.prefix().starts_with('/') && !uri.prefix().contains("//"));
    assert!(written.starts_with(uri.profile()) && !written.contains([',', ';', '*']));
}

/// What the corpus has for a secret.
const SECRET: &str = "wJalrXUtnFEMI";

/// A credential file: neither a refusal nor a value's `Debug` shows the secret.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let file = CredentialFile::parse("config.yaml", &text);
    if let Err(error) = &file {
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(!format!("{error} {error:?} {source}").contains(SECRET));
    }
    let Some(file) = accepted(file, ErrorKind::Config) else { return };
    let Some(profile) = file.profile("s3://bucket") else { return };
    let Some(Some((id, secret))) = accepted(profile.keys("s3://bucket"), ErrorKind::Config) else {
        return;
    };
    assert!(!id.is_empty() && !secret.reveal().is_empty());
    assert!(!format!("{secret:?}").contains(SECRET));
}

/// A prefix and a key below it, with a NUL between them: the path is refused, or
/// it is the plain path of something below the destination; and its key again is
/// what it came from.
pub fn path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (prefix, key) = text.split_once('\0').unwrap_or(("", &text));
    let Some(below) = path::relative(key, prefix) else { return };
    let refused = accepted(path::local(below), ErrorKind::KeyRefused).is_none();
    assert_eq!(refused, !stays_below(below), "{below:?}");
    if !refused {
        let remote = path::remote(prefix, below);
        assert_eq!(path::relative(&remote, prefix), Some(below));
        assert!(remote.starts_with(&path::listing_prefix(prefix)));
    }
}

/// As the standard library reads paths, and Linux bounds them.
fn stays_below(path: &str) -> bool {
    let names: Option<Vec<&str>> = Path::new(path)
        .components()
        .map(|component| match component {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    let Some(names) = names else { return false };
    // Equal to its names joined: nothing was left out, neither `//` nor `/.`.
    !path.is_empty()
        && path.len() < 4096
        && names.join("/") == path
        && !path.contains('\0')
        && names[0] != ".osmo-partial"
        && names.iter().all(|name| name.len() <= 255)
}

/// A pattern and a path, with a line end between them: as a regular expression
/// and as a glob it is refused or decides; what it includes it also excludes, and
/// a path's own escaped text is a pattern for it.
pub fn filter(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (pattern, path) = text.split_once('\n').unwrap_or((&text, ""));
    keeps(&Select::regex(Some(pattern.to_owned())), path);
    let include = Select { include: vec![pattern.to_owned()], ..Select::default() };
    let exclude = Select { exclude: vec![pattern.to_owned()], ..Select::default() };
    assert_eq!(keeps(&include, path), keeps(&exclude, path).map(|kept| !kept));

    let escaped: String = path.chars().flat_map(|c| ['\\', c]).collect();
    let own = Select { include: vec![escaped], ..Select::default() };
    assert_eq!(keeps(&own, path), Some(true), "{path:?}");
}

fn keeps(select: &Select, path: &str) -> Option<bool> {
    let filter = accepted(Filter::new(select), ErrorKind::Usage)?;
    accepted(filter.keeps(path), ErrorKind::Usage)
}

/// The value, or none for a refusal of that kind with a sentence.
fn accepted<T>(result: Result<T>, kind: ErrorKind) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert_eq!(error.kind(), kind);
            assert!(!error.to_string().is_empty());
            None
        }
    }
}
