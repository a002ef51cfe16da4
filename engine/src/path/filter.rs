//! Which of the paths below a prefix a job is about.
//!
//! A path is kept when the regular expression matches it, one of the included
//! globs does (or there are none), and none of the excluded ones does. All see
//! the path relative to the prefix, whole.
//!
//! Globs are those of `aws s3` and `s5cmd`: `*` is anything, `/` included, so
//! `*.bin` reaches into every folder and `logs/*` is all below `logs`. `?` is
//! one byte, `[a-c]` and `[!a-c]` are one of a set, `{a,b}` is either, and `\\`
//! takes what follows as it is.
//!
//! Limits: [`GLOBS_MAX`] globs a job.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::{Error, ErrorKind, Result};
use crate::job::Select;

/// Backtracking steps that a regular expression may take for one name.
const BACKTRACK_MAX: usize = 1_000_000;

/// Globs that a job may have, included and excluded ones each.
pub const GLOBS_MAX: usize = 1_000;

/// A filter on relative paths.
#[derive(Debug)]
pub struct Filter {
    regex: Option<fancy_regex::Regex>,
    include: Option<GlobSet>,
    exclude: Option<GlobSet>,
}

impl Filter {
    /// A filter that keeps what `select` says.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a malformed pattern.
    pub fn new(select: &Select) -> Result<Self> {
        Ok(Self {
            regex: regex(select.regex.as_deref())?,
            include: globs(&select.include)?,
            exclude: globs(&select.exclude)?,
        })
    }

    /// Whether `path` is kept.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when the pattern backtracks without end on it.
    pub fn keeps(&self, path: &str) -> Result<bool> {
        if self.include.as_ref().is_some_and(|globs| !globs.is_match(path))
            || self.exclude.as_ref().is_some_and(|globs| globs.is_match(path))
        {
            return Ok(false);
        }
        let Some(regex) = &self.regex else { return Ok(true) };
        regex.is_match(path).map_err(|error| {
            let sentence = format!("the regular expression gave up on \"{path}\"; simplify it");
            Error::new(ErrorKind::Usage, sentence).because(error)
        })
    }
}

/// With the meaning of Python's `re.match`.
fn regex(pattern: Option<&str>) -> Result<Option<fancy_regex::Regex>> {
    let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty()) else { return Ok(None) };
    // Compiled alone first: an unbalanced pattern must not borrow the
    // parentheses of the anchor.
    let anchored = format!("\\A(?:{pattern})");
    fancy_regex::Regex::new(pattern)
        .and_then(|_| {
            fancy_regex::RegexBuilder::new(&anchored).backtrack_limit(BACKTRACK_MAX).build()
        })
        .map(Some)
        .map_err(|error| {
            let sentence = format!("the regular expression \"{pattern}\" is malformed");
            Error::new(ErrorKind::Usage, sentence).because(error)
        })
}

fn globs(patterns: &[String]) -> Result<Option<GlobSet>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    if patterns.len() > GLOBS_MAX {
        let sentence = format!("{} globs are more than {GLOBS_MAX}; join some", patterns.len());
        return Err(Error::new(ErrorKind::Usage, sentence));
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let mut glob = GlobBuilder::new(pattern);
        glob.literal_separator(false).backslash_escape(true);
        set.add(glob.build().map_err(|error| malformed(pattern, error))?);
    }
    set.build().map(Some).map_err(|error| malformed(&patterns.join(" "), error))
}

fn malformed(pattern: &str, error: globset::Error) -> Error {
    let sentence = format!("the glob \"{pattern}\" is malformed");
    Error::new(ErrorKind::Usage, sentence).because(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // Each line was checked with `re.match(pattern, path)` of Python 3.
    #[test]
    fn a_filter_matches_as_python_does() {
        for (pattern, path, expected) in [
            ("d/", "d/1.txt", true),
            ("1", "d/1.txt", false),
            (r".*\.txt", "d/1.txt", true),
            (r".*\.txt", "d/1.txt.gz", true),
            (r".*\.txt$", "d/1.txt.gz", false),
            ("a|b", "xb", false),
            ("a|b", "bx", true),
            (r"(?!tmp)", "tmp/1", false),
            (r"(\w)\1", "aab", true),
            ("(?i)D/", "d/1", true),
            ("", "anything", true),
        ] {
            let filter = Filter::new(&Select::regex(Some(pattern.into()))).unwrap();
            assert_eq!(filter.keeps(path).unwrap(), expected, "{pattern:?} on {path:?}");
        }
        assert_eq!(
            Filter::new(&Select::regex(Some("a)(b".into()))).unwrap_err().kind(),
            ErrorKind::Usage
        );
        assert_eq!(
            Filter::new(&Select::regex(Some("(".into()))).unwrap_err().kind(),
            ErrorKind::Usage
        );
    }

    // Python 3's `fnmatch.fnmatchcase`, which is what `aws s3` matches with,
    // says the same of each line but that with braces: they are s5cmd's.
    #[test]
    fn a_glob_is_the_whole_path_and_a_star_crosses_folders() {
        for (glob, path, expected) in [
            ("*.txt", "a/b/1.txt", true),
            ("*.txt", "1.txt.gz", false),
            ("logs/*", "logs/a/b", true),
            ("logs/*", "x/logs/a", false),
            ("1.txt", "a/1.txt", false),
            ("*/1.txt", "a/1.txt", true),
            ("part-?", "part-7", true),
            ("part-?", "part-77", false),
            ("[a-c]*", "b/x", true),
            ("[!a-c]*", "b/x", false),
            ("{train,test}/*", "test/1", true),
            ("*", "line\nbreak", true),
            ("A*", "a", false),
        ] {
            let include = Select { include: vec![glob.into()], ..Select::default() };
            assert_eq!(Filter::new(&include).unwrap().keeps(path).unwrap(), expected, "{glob}");
            let exclude = Select { exclude: vec![glob.into()], ..Select::default() };
            assert_eq!(Filter::new(&exclude).unwrap().keeps(path).unwrap(), !expected, "{glob}");
        }
        let broken = Select { include: vec!["[".into()], ..Select::default() };
        assert_eq!(Filter::new(&broken).unwrap_err().kind(), ErrorKind::Usage);
    }

    #[test]
    fn all_three_have_to_agree() {
        let select = Select {
            regex: Some("a/".into()),
            include: vec!["*.bin".into(), "*.txt".into()],
            exclude: vec!["*secret*".into()],
        };
        let filter = Filter::new(&select).unwrap();
        for (path, expected) in [
            ("a/1.bin", true),
            ("a/2.txt", true),
            ("b/1.bin", false),
            ("a/secret.bin", false),
            ("a/1.png", false),
        ] {
            assert_eq!(filter.keeps(path).unwrap(), expected, "{path}");
        }
    }
}
