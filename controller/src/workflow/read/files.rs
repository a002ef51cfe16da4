//! `files`: text in the workflow, or files that lie beside it.

use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::diagnostic::{Place, Sink};
use super::super::model::{Contents, File, Text};
use super::super::text::TEXT_BYTES_MAX;
use super::cursor::{Cursor, Fields};

/// All files of one task.
pub(super) fn files(items: &[Cursor<'_>], folder: &Path, sink: &mut Sink) -> Vec<File> {
    let mut all: Vec<File> = Vec::new();
    for at in items {
        let Some(file) = file(at, folder, sink) else { continue };
        if let Some(first) = all.iter().find(|other| other.path.text == file.path.text) {
            at.error(
                sink,
                format!("several files at the same path {:?}", file.path.text),
                &format!(
                    "the first is in line {}; give one of them another path",
                    first.path.place.line
                ),
            );
        }
        all.push(file);
    }
    all
}

fn file(at: &Cursor<'_>, folder: &Path, sink: &mut Sink) -> Option<File> {
    let fields = at.fields(&["path", "contents", "base64", "localpath"], sink)?;
    let path = fields.required_text("path", sink);
    if fields.get("path").is_some() {
        check_path(&path, &format!("{}.path", at.path), sink);
    }
    let is_base64 = fields.boolean("base64", false, sink);
    let contents = match (fields.get("contents"), fields.get("localpath")) {
        (Some(_), Some(local)) => {
            local.error(
                sink,
                "contents and localpath stand together".to_owned(),
                "keep one of them",
            );
            None
        }
        (None, Some(local)) => local_file(&local, folder, is_base64, sink),
        _ => inline(&fields, is_base64, sink),
    };
    contents.map(|contents| File { path, contents })
}

fn check_path(path: &Text, key: &str, sink: &mut Sink) {
    let bare = path.text.trim_start_matches('/');
    let first = bare.split('/').next().unwrap_or_default();
    let fault = if bare.is_empty() {
        "the path names no file"
    } else if first == "osmo" && !bare.starts_with("osmo/data/output/") {
        "the path lies in /osmo, which belongs to the pod"
    } else {
        return;
    };
    sink.error(path.place, key, fault, "write a path such as /opt/job/run.sh");
}

fn inline(fields: &Fields<'_>, is_base64: bool, sink: &mut Sink) -> Option<Contents> {
    let at = fields.required("contents", sink)?;
    let text = at.text(sink)?;
    if !is_base64 {
        return Some(Contents::Text(text));
    }
    decoded(&text.text, &at, sink).map(Contents::Bytes)
}

fn decoded(text: &str, at: &Cursor<'_>, sink: &mut Sink) -> Option<Vec<u8>> {
    let packed: String = text.split_whitespace().collect();
    match STANDARD.decode(packed) {
        Ok(bytes) => Some(bytes),
        Err(fault) => {
            at.error(
                sink,
                format!("this is not base64: {fault}"),
                "encode it with `base64 -w0 FILE`",
            );
            None
        }
    }
}

fn local_file(
    at: &Cursor<'_>,
    folder: &Path,
    is_base64: bool,
    sink: &mut Sink,
) -> Option<Contents> {
    let path = folder.join(at.text(sink)?.text);
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(fault) => {
            at.error(
                sink,
                format!("cannot read {}: {fault}", path.display()),
                "a local path starts at the folder of the workflow file",
            );
            return None;
        }
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(binary) => return Some(Contents::Bytes(binary.into_bytes())),
    };
    if is_base64 {
        return decoded(&text, at, sink).map(Contents::Bytes);
    }
    warn_template(&text, at.place(), &at.path, sink);
    Some(Contents::Text(Text { text, place: at.place() }))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    // Asked before opening: opening a pipe would wait for its writer.
    let meta = std::fs::metadata(path).map_err(|fault| fault.to_string())?;
    if !meta.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(|fault| fault.to_string())?;
    let limit = TEXT_BYTES_MAX as u64;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|fault| fault.to_string())?;
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(format!("it is larger than {} MiB; make it an input", TEXT_BYTES_MAX >> 20));
    }
    Ok(bytes)
}

/// The service would render this file; here it gets tokens only.
fn warn_template(text: &str, place: Place, key: &str, sink: &mut Sink) {
    if text.contains("{%") || text.contains("{{ ") {
        sink.warn(
            place,
            key,
            "the local file holds `{%` or `{{ `, which a service would render as a template; here \
             only tokens are replaced",
            "put the text under `contents` if variables are meant",
        );
    }
}
