//! The values that labels take.

use osmo_engine::uri::Scheme;

/// A closed set of label values.
pub(crate) trait Label {
    /// As it is written.
    fn name(self) -> &'static str;
}

macro_rules! label {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $value:ident = $text:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[$doc])* $value),+
        }

        impl $name {
            /// Each of them, in the order of their numbers.
            pub(crate) const ALL: [Self; [$($text),+].len()] = [$(Self::$value),+];
        }

        impl Label for $name {
            fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $text),+
                }
            }
        }
    };
}

label! {
    /// Which way bytes go, as the task sees it.
    Direction {
        /// Into the pod.
        In = "in",
        /// Out of the pod.
        Out = "out",
    }
}

label! {
    /// What a session is.
    Kind {
        /// `exec`.
        Terminal = "terminal",
        /// A forwarded TCP port.
        Tcp = "tcp",
        /// A forwarded UDP port.
        Udp = "udp",
        /// A browser.
        Web = "web",
        /// Files.
        Rsync = "rsync",
    }
}

impl Kind {
    /// Those whose users open connections of their own; a terminal is one.
    pub(crate) const WITH_CONNECTIONS: [Self; 4] = [Self::Tcp, Self::Udp, Self::Web, Self::Rsync];
}

label! {
    /// Why an attempt was repeated.
    RetryReason {
        /// The store's answer, or the way there, failed.
        Request = "request",
        /// Nothing moved for `-dataTimeout`.
        Standstill = "standstill",
    }
}

label! {
    /// The kind of store.
    Backend {
        /// Amazon S3, or what speaks its protocol.
        S3 = "s3",
        /// Google Cloud Storage.
        Gs = "gs",
        /// Volcano Engine TOS.
        Tos = "tos",
        /// OpenStack Swift.
        Swift = "swift",
        /// Azure Blob Storage.
        Azure = "azure",
        /// What the engine will refuse.
        Other = "other",
    }
}

impl Backend {
    /// The store that `url` names.
    pub(crate) fn of(url: &str) -> Self {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        match Scheme::ALL.into_iter().find(|each| each.name() == scheme) {
            Some(Scheme::S3) => Self::S3,
            Some(Scheme::Gs) => Self::Gs,
            Some(Scheme::Tos) => Self::Tos,
            Some(Scheme::Swift) => Self::Swift,
            Some(Scheme::Azure) => Self::Azure,
            None => Self::Other,
        }
    }
}

/// A stored number as an index below `len`.
pub(super) fn index(number: u64, len: usize) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX).min(len - 1)
}
