//! `FROM:TO`, which of both is here, and which module holds the other.

use std::ffi::OsString;
use std::path::Path;

use super::Trouble;
use super::modules::Module;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Upload,
    Download,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Paths {
    pub(super) local: String,
    pub(super) remote: String,
}

impl Paths {
    /// Splits at the first colon that no backslash precedes.
    pub(super) fn parse(direction: Direction, text: &str) -> Result<Self, Trouble> {
        let bytes = text.as_bytes();
        let colon =
            (0..bytes.len()).find(|&at| bytes[at] == b':' && (at == 0 || bytes[at - 1] != b'\\'));
        let halves =
            colon.map(|at| (text[..at].replace("\\:", ":"), text[at + 1..].replace("\\:", ":")));
        let Some((from, to)) = halves.filter(|(from, to)| !from.is_empty() && !to.is_empty())
        else {
            let (from, to) = match direction {
                Direction::Upload => ("path here", "path in the task"),
                Direction::Download => ("path in the task", "path here"),
            };
            return Err(Trouble::Usage(format!("{text:?}: expected <{from}>:<{to}>")));
        };
        Ok(match direction {
            Direction::Upload => Self { local: from, remote: to },
            Direction::Download => Self { local: to, remote: from },
        })
    }

    /// The path here as rsync takes it for one: a source that is there, or a
    /// folder, which is made.
    pub(super) fn prepare(&self, direction: Direction) -> Result<OsString, Trouble> {
        let path = Path::new(&self.local);
        let fault = |what: String| Trouble::Local(format!("{}: {what}", path.display()));
        match direction {
            Direction::Upload if path.symlink_metadata().is_err() => {
                return Err(fault("there is nothing to upload".into()));
            }
            Direction::Download if path.exists() && !path.is_dir() => {
                return Err(fault("a download goes into a folder".into()));
            }
            Direction::Download => {
                std::fs::create_dir_all(path).map_err(|error| fault(error.to_string()))?;
            }
            Direction::Upload => {}
        }
        // A colon would make it another machine's.
        Ok(if path.is_absolute() { self.local.clone() } else { format!("./{}", self.local) }.into())
    }
}

/// The module with the longest path above `remote`, and what is below it.
/// A relative path is below the workspace.
pub(super) fn choose(
    modules: &[Module],
    direction: Direction,
    remote: &str,
) -> Result<(Module, String), Trouble> {
    let Some(workspace) = modules.first() else {
        return Err(Trouble::Refused("the service names no folders to copy".into()));
    };
    let whole = if remote.starts_with('/') {
        remote.to_owned()
    } else {
        format!("{}/{remote}", workspace.path)
    };
    let normal = normal(&whole)
        .ok_or_else(|| Trouble::Usage(format!("{remote:?} leads out of itself: no ..")))?;
    let allowed =
        modules.iter().filter(|module| direction == Direction::Download || module.writable);
    let found = allowed.filter_map(|module| Some((module, below(&module.path, &normal)?)));
    let Some((module, below)) = found.max_by_key(|(module, _)| module.path.len()) else {
        let paths: Vec<_> = modules.iter().map(|module| module.path.as_str()).collect();
        return Err(Trouble::Usage(format!(
            "{remote} is not among the folders that can be {}: {}",
            if direction == Direction::Upload { "written" } else { "read" },
            paths.join(", ")
        )));
    };
    let slash = if remote.ends_with('/') && !below.is_empty() { "/" } else { "" };
    Ok((module.clone(), format!("{below}{slash}")))
}

fn below(folder: &str, path: &str) -> Option<String> {
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/').to_owned())
}

/// Without empty and `.` segments; `None` with `..`.
pub(super) fn normal(path: &str) -> Option<String> {
    let mut normal = String::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty() && *segment != ".") {
        if segment == ".." {
            return None;
        }
        normal.push('/');
        normal.push_str(segment);
    }
    Some(if normal.is_empty() { "/".into() } else { normal })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn modules() -> Vec<Module> {
        [
            ("osmo", "/osmo/run/workspace", true),
            ("data", "/data", false),
            ("deep", "/data/deep", true),
        ]
        .map(|(name, path, writable)| Module { name: name.into(), path: path.into(), writable })
        .to_vec()
    }

    #[test]
    fn the_first_bare_colon_splits() {
        let parse = |text| Paths::parse(Direction::Upload, text);
        let paths =
            |local: &str, remote: &str| Paths { local: local.into(), remote: remote.into() };
        assert_eq!(parse("a:/b").unwrap(), paths("a", "/b"));
        assert_eq!(parse(r"a\:c:/b:d").unwrap(), paths("a:c", "/b:d"));
        let down = Paths::parse(Direction::Download, "/b:a").unwrap();
        assert_eq!(down, paths("a", "/b"));
        for text in ["a", ":", "a:", ":b", ""] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_longest_folder_wins() {
        let choose = |direction, path| {
            choose(&modules(), direction, path)
                .map(|(module, below)| format!("{}/{below}", module.name))
        };
        let down = |path| choose(Direction::Download, path).unwrap();
        assert_eq!(down("/osmo/run/workspace/x/y"), "osmo/x/y");
        assert_eq!(down("/osmo/run/workspace/"), "osmo/");
        assert_eq!(down("x/"), "osmo/x/");
        assert_eq!(down("/data/deep/z"), "deep/z");
        assert_eq!(down("/data//./deeper"), "data/deeper");
        assert_eq!(choose(Direction::Upload, "/data/deep/z").unwrap(), "deep/z");
        // Read-only, elsewhere, beside, and out.
        assert!(choose(Direction::Upload, "/data/x").is_err());
        for path in ["/etc/passwd", "/osmo/run/workspaces", "/osmo/run/workspace/../x", "../x"] {
            assert!(choose(Direction::Download, path).is_err(), "{path}");
        }
    }
}
