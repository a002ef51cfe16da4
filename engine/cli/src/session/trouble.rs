//! Why a session did not come about, sorted by what to do about it.

use std::fmt;

use osmo_link::LinkError;

/// A sentence with cause and remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The command line makes no sense.
    Usage(String),
    /// Nobody is logged in, or no longer.
    Login(String),
    /// The task does not run yet: later it may.
    NotYet(String),
    /// The service says no, and will again.
    Refused(String),
    /// The way to the service is disturbed: another try may work.
    Transient(String),
    /// Something on this machine.
    Local(String),
}

impl Trouble {
    /// Another try may work.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::NotYet(_) | Self::Transient(_))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(sentence)
        | Self::Login(sentence)
        | Self::NotYet(sentence)
        | Self::Refused(sentence)
        | Self::Transient(sentence)
        | Self::Local(sentence)) = self;
        f.write_str(sentence)
    }
}

impl From<LinkError> for Trouble {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Address(_) => Self::Refused(error.to_string()),
            LinkError::Refused { status: 400..=499, .. } => Self::Refused(error.to_string()),
            _ => Self::Transient(error.to_string()),
        }
    }
}
