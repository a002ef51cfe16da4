//! The path rules: which local name a key gets, which key a local name gets,
//! and which names a selection keeps.
//!
//! A key decides nothing outside its destination. [`local`] refuses whatever a
//! file system could read as "somewhere else" or cannot hold; the walk in
//! `disk` then refuses symbolic links on the way.

mod filter;

use crate::error::{Error, ErrorKind, Result};

pub use filter::{Filter, GLOBS_MAX};

/// The folder in a destination that holds what is not yet complete.
pub const PARTIAL_FOLDER: &str = ".osmo-partial";

/// Longest component that common file systems hold (`NAME_MAX`), bytes.
pub const COMPONENT_BYTES_MAX: usize = 255;

/// Longest path that a system call takes (`PATH_MAX` less its NUL), bytes.
pub const PATH_BYTES_MAX: usize = 4095;

/// What is listed for `prefix`: keys below the folder of that name.
pub fn listing_prefix(prefix: &str) -> String {
    if prefix.is_empty() || prefix.ends_with('/') {
        prefix.to_owned()
    } else {
        format!("{prefix}/")
    }
}

/// The path of `key` below `prefix`: the prefix's own last segment is not
/// kept, and a prefix that is the key itself leaves its base name. `None` for
/// a key outside the prefix.
pub fn relative<'k>(key: &'k str, prefix: &str) -> Option<&'k str> {
    if prefix.is_empty() {
        return Some(key);
    }
    if key == prefix {
        return Some(base_name(key));
    }
    let below = key.strip_prefix(prefix)?;
    if prefix.ends_with('/') { Some(below) } else { below.strip_prefix('/') }
}

/// The last segment of a key or path.
pub fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a key stands for a folder and not for a file.
pub fn is_folder_marker(key: &str) -> bool {
    key.ends_with('/')
}

/// Checks that `path` (a key below its prefix) names a file inside the
/// destination.
///
/// # Errors
/// [`ErrorKind::KeyRefused`], with the reason.
pub fn local(path: &str) -> Result<&str> {
    let refuse = |why: String| Err(Error::new(ErrorKind::KeyRefused, why));
    if path.len() > PATH_BYTES_MAX {
        return refuse(format!(
            "the path is {} bytes long and a path may have {PATH_BYTES_MAX}; shorten the key",
            path.len()
        ));
    }
    if path.contains('\0') {
        return refuse("the key contains a NUL byte, which no file name can hold".into());
    }
    for (index, component) in path.split('/').enumerate() {
        match component {
            "" if index == 0 && !path.is_empty() => {
                return refuse("the key is an absolute path below its prefix".into());
            }
            "" => return refuse("the key has an empty path component".into()),
            "." | ".." => {
                return refuse(format!("the key has the path component \"{component}\""));
            }
            PARTIAL_FOLDER if index == 0 => {
                return refuse(format!("{PARTIAL_FOLDER} is kept for unfinished files"));
            }
            long if long.len() > COMPONENT_BYTES_MAX => {
                return refuse(format!(
                    "a component of the key is {} bytes long and a file name may have \
                     {COMPONENT_BYTES_MAX}; shorten it",
                    long.len()
                ));
            }
            _ => {}
        }
    }
    Ok(path)
}

/// The key of a local file that stands at `below` its source, under `prefix`.
pub fn remote(prefix: &str, below: &str) -> String {
    format!("{}{below}", listing_prefix(prefix))
}

/// A local source of an upload, as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file or folder.
    pub path: String,
    /// Whether the source's own name becomes part of the key.
    pub keeps_name: bool,
}

impl Source {
    /// Reads an argument: `folder/*` stands for the folder's content.
    pub fn parse(argument: &str) -> Self {
        let (path, keeps_name) = match argument.strip_suffix("/*") {
            Some("") => ("/", false),
            Some(folder) => (folder, false),
            None if argument == "*" => (".", false),
            None => (argument, true),
        };
        Self { path: path.to_owned(), keeps_name }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_download_drops_the_prefix() {
        for (key, prefix, expected) in [
            ("a/b/c/d/1.txt", "", "a/b/c/d/1.txt"),
            ("a/b/c/d/1.txt", "a/b/c", "d/1.txt"),
            ("a/b/c/d/1.txt", "a/b/c/", "d/1.txt"),
            ("a/b/c/d/1.txt", "a/b/c/d/1.txt", "1.txt"),
        ] {
            assert_eq!(relative(key, prefix), Some(expected), "{key} below {prefix:?}");
        }
        assert_eq!(relative("a/bc/1.txt", "a/b"), None);
        assert_eq!(listing_prefix("a/b"), "a/b/");
        assert_eq!(listing_prefix("a/b/"), "a/b/");
        assert_eq!(listing_prefix(""), "");
    }

    #[test]
    fn keys_that_leave_the_destination_are_refused() {
        let component = "x".repeat(COMPONENT_BYTES_MAX);
        let deep = vec![component.as_str(); 17].join("/");
        let long = "x".repeat(COMPONENT_BYTES_MAX + 1);
        for key in [
            "../x",
            "a/../x",
            "..",
            ".",
            "a/./b",
            "/etc/passwd",
            "a//b",
            "",
            "a/",
            "a\0b",
            ".osmo-partial/x",
            &long,
            &deep,
        ] {
            assert_eq!(local(key).unwrap_err().kind(), ErrorKind::KeyRefused, "{key:?}");
        }
        for key in ["a", "a/b c", "..a", "a..", "ü/%2e%2e/+", "a/.osmo-partial/x", &component] {
            assert_eq!(local(key).unwrap(), key);
        }
        let thousand = [&component[..249]; 4].join("/");
        assert!(local(&thousand).is_ok());
    }

    #[test]
    fn an_upload_keeps_the_base_name_unless_told_otherwise() {
        let source = |path: &str, keeps_name| Source { path: path.into(), keeps_name };
        assert_eq!(Source::parse("/a/b/c"), source("/a/b/c", true));
        assert_eq!(Source::parse("/a/b/c/"), source("/a/b/c/", true));
        assert_eq!(Source::parse("/a/b/c/*"), source("/a/b/c", false));
        assert_eq!(Source::parse("/*"), source("/", false));
        assert_eq!(remote("P", "c/d/1.txt"), "P/c/d/1.txt");
        assert_eq!(remote("P/", "d/1.txt"), "P/d/1.txt");
        assert_eq!(remote("", "1.txt"), "1.txt");
    }
}
