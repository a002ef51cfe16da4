//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use osmo_protocol::flags::{Flag, FlagError, parse};
use osmo_protocol::layout;

/// What the program is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    /// The volume of data.
    pub data: PathBuf,
    /// The volume of login files.
    pub login: PathBuf,
    /// The volume of programs for the user.
    pub user_bin: PathBuf,
    /// The volume of run-time state.
    pub run: PathBuf,
    /// The volume from which the pod mounts its own programs.
    pub binaries: PathBuf,
    /// Where the image keeps programs and login files.
    pub image: PathBuf,
    /// Place the rsync daemon too.
    pub rsync: bool,
    /// Whether programs must be placed: a local run uses its own.
    pub place_binaries: bool,
    /// Whether login files must be there: a local run may have none.
    pub require_login: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            data: layout::DATA.into(),
            login: layout::LOGIN.into(),
            user_bin: layout::USER_BIN.into(),
            run: layout::RUN.into(),
            binaries: layout::BINARIES.into(),
            image: layout::ROOT.into(),
            rsync: false,
            place_binaries: true,
            require_login: true,
        }
    }
}

impl Flags {
    /// Reads the command line, without the program's name.
    ///
    /// # Errors
    /// The first word that cannot be understood.
    pub fn parse<I>(args: I) -> Result<Self, FlagError>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let mut flags = Self::default();
        match parse(&table(), &mut flags, args)?.into_iter().next() {
            Some(word) => Err(FlagError::Syntax(word)),
            None => Ok(flags),
        }
    }
}

fn table() -> Vec<Flag<Flags>> {
    let path = |name, about, set: fn(&mut Flags, String)| Flag::text(name, about, set);
    vec![
        path("data_location", "volume of data", |f, v| f.data = v.into()),
        path("login_location", "volume of login files", |f, v| f.login = v.into()),
        path("user_bin_location", "volume of programs for the user", |f, v| f.user_bin = v.into()),
        path("run_location", "volume of run-time state", |f, v| f.run = v.into()),
        path("binaries_location", "volume of the pod's own programs", |f, v| f.binaries = v.into()),
        path("image_location", "where the image keeps its files", |f, v| f.image = v.into()),
        Flag::switch("enable_rsync", "place the rsync daemon", |f: &mut Flags, on| f.rsync = on),
        Flag::checked(
            "binaries",
            "`image` places programs, `none` places none",
            |f: &mut Flags, v| {
                f.place_binaries = either(v, "image", "none")?;
                Ok(())
            },
        ),
        Flag::checked(
            "login",
            "`required`, or `optional` where files may be absent",
            |f: &mut Flags, v| {
                f.require_login = either(v, "required", "optional")?;
                Ok(())
            },
        ),
    ]
}

fn either(value: &str, yes: &str, no: &str) -> Result<bool, String> {
    match value {
        value if value == yes => Ok(true),
        value if value == no => Ok(false),
        _ => Err(format!("expected {yes} or {no}")),
    }
}
