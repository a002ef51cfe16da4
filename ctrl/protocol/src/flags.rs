//! The flag grammar of the pod's programs, as Go's `flag` package defines it.
//!
//! `-x v`, `--x v`, `-x=v` and `--x=v` are one; a switch never takes the next
//! word (`-x=false` turns it off); reading stops at the first word that is no
//! flag, or after `--`. The last value wins, lists append. A program's flags
//! are a table over its own settings struct, so a flag cannot be read under a
//! name that does not exist:
//!
//! ```
//! use osmo_protocol::flags::{parse, Flag};
//! #[derive(Default)]
//! struct Settings { port: u16, hosts: Vec<String>, quiet: bool }
//! let table = [
//!     Flag::number("port", "where to listen", |s: &mut Settings, v| s.port = v),
//!     Flag::list("hosts", "whom to call", |s: &mut Settings, v| s.hosts.push(v)),
//!     Flag::switch("quiet", "say nothing", |s: &mut Settings, on| s.quiet = on),
//! ];
//! let mut settings = Settings::default();
//! let rest = parse(&table, &mut settings, ["-port=80", "--quiet", "-hosts", "a", "x"])?;
//! assert_eq!((settings.port, settings.quiet, rest), (80, true, vec!["x".to_owned()]));
//! # Ok::<(), osmo_protocol::flags::FlagError>(())
//! ```

mod integer;

use std::ffi::OsString;
use std::fmt::Write as _;

/// Exit code of a program whose command line cannot be understood.
pub const USAGE_EXIT: u8 = 2;

/// Why a command line cannot be understood; the text is a whole sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// `-h` or `-help`: not a fault; the text lists the flags.
    #[error("{0}")]
    Help(String),
    /// No flag has this name.
    #[error("flag provided but not defined: -{0} (-help lists the flags)")]
    Unknown(String),
    /// `---x`, `-=v` and the like.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// The command line ends where a value should stand.
    #[error("flag needs an argument: -{0}")]
    MissingValue(String),
    /// The value does not fit the flag.
    #[error("invalid value {value:?} for flag -{name}: {reason}")]
    BadValue {
        /// The flag.
        name: String,
        /// What was given.
        value: String,
        /// What would fit.
        reason: String,
    },
    /// A word is not UTF-8.
    #[error("argument {0:?} is not UTF-8")]
    NotUtf8(OsString),
}

type Set<T> = Box<dyn Fn(&mut T, &str) -> Result<(), String>>;

/// One row of a program's table.
pub struct Flag<T> {
    name: &'static str,
    about: &'static str,
    switch: bool,
    set: Set<T>,
}

impl<T: 'static> Flag<T> {
    /// A flag whose last value wins.
    pub fn text(name: &'static str, about: &'static str, set: fn(&mut T, String)) -> Self {
        Self::checked(name, about, move |target, value| {
            set(target, value.to_owned());
            Ok(())
        })
    }

    /// A flag that may stand several times; `push` is called for each.
    pub fn list(name: &'static str, about: &'static str, push: fn(&mut T, String)) -> Self {
        Self::text(name, about, push)
    }

    /// A whole number that fits `N`.
    pub fn number<N>(name: &'static str, about: &'static str, set: fn(&mut T, N)) -> Self
    where
        N: TryFrom<i128> + 'static,
    {
        Self::checked(name, about, move |target, value| {
            let number = integer::parse(value).and_then(|number| N::try_from(number).ok());
            set(target, number.ok_or("not a whole number in range")?);
            Ok(())
        })
    }

    /// A flag without a value.
    pub fn switch(name: &'static str, about: &'static str, set: fn(&mut T, bool)) -> Self {
        let set = move |target: &mut T, value: &str| {
            set(target, truth(value).ok_or("neither true nor false")?);
            Ok(())
        };
        Self { name, about, switch: true, set: Box::new(set) }
    }

    /// A flag whose value is checked as it is read; `set` answers with what
    /// would fit.
    pub fn checked(
        name: &'static str,
        about: &'static str,
        set: impl Fn(&mut T, &str) -> Result<(), String> + 'static,
    ) -> Self {
        Self { name, about, switch: false, set: Box::new(set) }
    }

    fn apply(&self, target: &mut T, value: &str) -> Result<(), FlagError> {
        (self.set)(target, value).map_err(|reason| FlagError::BadValue {
            name: self.name.to_owned(),
            value: value.to_owned(),
            reason,
        })
    }
}

/// The words that Go's `strconv.ParseBool` knows.
fn truth(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Reads `args` (without the program's name) into `target` and returns the
/// words that follow the flags.
///
/// # Errors
/// The first word that does not fit; [`FlagError::Help`] when help was asked
/// for.
pub fn parse<T, I>(table: &[Flag<T>], target: &mut T, args: I) -> Result<Vec<String>, FlagError>
where
    T: 'static,
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    let mut words = args.into_iter().map(Into::into);
    while let Some(word) = words.next() {
        let word = utf8(word)?;
        if word == "--" {
            return words.map(utf8).collect();
        }
        if !word.starts_with('-') || word == "-" {
            return std::iter::once(Ok(word)).chain(words.map(utf8)).collect();
        }
        let (name, inline) = split(&word)?;
        let Some(flag) = table.iter().find(|flag| flag.name == name) else {
            return Err(match name {
                "h" | "help" => FlagError::Help(usage(table)),
                _ => FlagError::Unknown(name.to_owned()),
            });
        };
        match (inline, flag.switch) {
            (Some(value), _) => flag.apply(target, value)?,
            (None, true) => flag.apply(target, "true")?,
            (None, false) => {
                let value = words.next().ok_or_else(|| FlagError::MissingValue(name.to_owned()))?;
                flag.apply(target, &utf8(value)?)?;
            }
        }
    }
    Ok(Vec::new())
}

fn utf8(word: OsString) -> Result<String, FlagError> {
    word.into_string().map_err(FlagError::NotUtf8)
}

/// `-name` or `--name=value` into its halves.
fn split(word: &str) -> Result<(&str, Option<&str>), FlagError> {
    let bare = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).unwrap_or(word);
    if bare.is_empty() || bare.starts_with(['-', '=']) {
        return Err(FlagError::Syntax(word.to_owned()));
    }
    Ok(match bare.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (bare, None),
    })
}

fn usage<T>(table: &[Flag<T>]) -> String {
    let mut text = String::from("flags:");
    for flag in table {
        let value = if flag.switch { "" } else { " VALUE" };
        let _ = write!(text, "\n  -{}{value}\n        {}", flag.name, flag.about);
    }
    text
}

#[cfg(test)]
mod tests;
