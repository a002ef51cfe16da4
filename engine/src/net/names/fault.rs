//! Why a name gave no address.

use std::time::Duration;

/// A lookup that failed, as a sentence with its remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// Nobody knows the name.
    #[error(
        "there is no host {host} (asked for {asked}): check the spelling, and the pod's DNS \
         policy and search domains"
    )]
    Missing {
        /// The name.
        host: String,
        /// What was asked for, in order.
        asked: String,
    },
    /// The name exists, and has no address.
    #[error(
        "the name {host} exists but has neither an IPv4 nor an IPv6 address: check its records"
    )]
    Bare {
        /// The name.
        host: String,
    },
    /// The name servers answered, and did not know.
    #[error(
        "cannot find the address of {host}: the name server answered {answer}: check the \
         cluster's DNS, or {host}'s"
    )]
    Failed {
        /// The name.
        host: String,
        /// The answer's code.
        answer: String,
    },
    /// The name servers did not answer.
    #[error(
        "cannot find the address of {host}: no answer from the name servers {servers} \
         ({attempts} × {timeout:?}): check the pod's DNS (/etc/resolv.conf) and its network policy"
    )]
    Silent {
        /// The name.
        host: String,
        /// Who was asked.
        servers: String,
        /// How often.
        attempts: usize,
        /// How long each time.
        timeout: Duration,
    },
    /// It can be no name: an empty label, one over 63 bytes, or other characters.
    #[error("{host} is not a host name: check the endpoint URL")]
    Malformed {
        /// The name.
        host: String,
    },
    /// The thread that asks is not there.
    #[error("cannot find the address of {host}: cannot start a thread: raise the process limit")]
    Stopped {
        /// The name.
        host: String,
    },
}

impl NameFault {
    /// Whether the same question may be answered otherwise in a while.
    pub fn passes(&self) -> bool {
        match self {
            Self::Failed { .. } | Self::Silent { .. } | Self::Stopped { .. } => true,
            Self::Missing { .. } | Self::Bare { .. } | Self::Malformed { .. } => false,
        }
    }
}
