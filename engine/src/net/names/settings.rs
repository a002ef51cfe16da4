//! `resolv.conf`, as resolv.conf(5) describes it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Name servers used; what resolv.conf(5) says.
pub(super) const SERVERS_MAX: usize = 3;
/// Search domains used; a pod has three to six.
pub(super) const SEARCH_MAX: usize = 32;
const PORT: u16 = 53;

/// Whom to ask, for what, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name servers, in order.
    pub servers: Vec<SocketAddr>,
    /// Domains that are tried below names with few dots.
    pub search: Vec<String>,
    /// A name with this many dots is asked for as it is first.
    pub ndots: usize,
    /// One wait for an answer.
    pub timeout: Duration,
    /// How often all servers are asked.
    pub attempts: usize,
    /// Ask over TCP only.
    pub use_vc: bool,
    /// Announce larger UDP answers.
    pub edns0: bool,
    /// Take the servers in turns.
    pub rotate: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            use_vc: false,
            edns0: false,
            rotate: false,
        }
    }
}

impl Settings {
    /// Reads the file's text; what is not understood is passed over. Without
    /// a name server the local one is asked, as the C library does.
    pub fn parse(text: &str) -> Self {
        let mut settings = Self::default();
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => settings.server(words.next().unwrap_or_default()),
                // The last of them counts.
                Some("search" | "domain") => {
                    settings.search = words.take(SEARCH_MAX).filter_map(domain).collect();
                }
                Some("options") => words.for_each(|option| settings.option(option)),
                _ => {}
            }
        }
        if settings.servers.is_empty() {
            settings.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        settings
    }

    fn server(&mut self, word: &str) {
        // A zone (`fe80::1%eth0`) cannot be kept in what asks.
        if let Ok(address) = word.parse::<IpAddr>()
            && self.servers.len() < SERVERS_MAX
        {
            self.servers.push(SocketAddr::new(address, PORT));
        }
    }

    /// The bounds are those of resolv.conf(5).
    fn option(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        let number = value.parse::<usize>().ok();
        match (name, number) {
            ("ndots", Some(dots)) => self.ndots = dots.min(15),
            ("timeout", Some(seconds)) => {
                self.timeout = Duration::from_secs(seconds.clamp(1, 30) as u64);
            }
            ("attempts", Some(attempts)) => self.attempts = attempts.clamp(1, 5),
            ("use-vc", None) => self.use_vc = true,
            ("edns0", None) => self.edns0 = true,
            ("rotate", None) => self.rotate = true,
            _ => {}
        }
    }

    /// What to ask for in order to find `host`, in order.
    pub(super) fn candidates(&self, host: &str) -> Vec<String> {
        if host.ends_with('.') {
            return vec![host.to_owned()];
        }
        let whole = format!("{host}.");
        let below = self.search.iter().map(|domain| match domain.as_str() {
            "." => whole.clone(),
            domain => format!("{host}.{domain}."),
        });
        let below = below.filter(|name| name.len() <= 254);
        let dots = host.bytes().filter(|byte| *byte == b'.').count();
        let mut names: Vec<String> = if dots >= self.ndots {
            std::iter::once(whole.clone()).chain(below).collect()
        } else {
            below.chain([whole.clone()]).collect()
        };
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }
}

fn domain(word: &str) -> Option<String> {
    match word.trim_end_matches('.') {
        "" if word == "." => Some(".".to_owned()),
        "" => None,
        domain => Some(domain.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pod's file as the kubelet writes it, and resolv.conf(5)'s rules.
    #[test]
    fn a_pods_file() {
        let settings = Settings::parse(
            "# kubelet\nsearch ns.svc.cluster.local svc.cluster.local cluster.local\n\
             nameserver 10.96.0.10\nnameserver fd00::a\noptions ndots:5 timeout:2 use-vc\n",
        );
        let servers = ["10.96.0.10:53", "[fd00::a]:53"];
        assert_eq!(settings.servers, servers.map(|s| s.parse().unwrap_or_else(|_| unreachable!())));
        assert_eq!((settings.ndots, settings.attempts, settings.use_vc), (5, 2, true));
        assert_eq!(settings.timeout, Duration::from_secs(2));
        assert_eq!(
            settings.candidates("s3.amazonaws.com"),
            [
                "s3.amazonaws.com.ns.svc.cluster.local.",
                "s3.amazonaws.com.svc.cluster.local.",
                "s3.amazonaws.com.cluster.local.",
                "s3.amazonaws.com.",
            ]
        );
        assert_eq!(settings.candidates("s3.amazonaws.com."), ["s3.amazonaws.com."]);
        assert_eq!(settings.candidates("a.b.c.d.e.f")[0], "a.b.c.d.e.f.");
    }

    #[test]
    fn bounds_comments_and_an_empty_file() {
        let none = Settings::parse("");
        assert_eq!(none.servers, [SocketAddr::from(([127, 0, 0, 1], 53))]);
        assert_eq!(none.candidates("minio"), ["minio."]);
        let settings = Settings::parse(
            ";nameserver 9.9.9.9\ndomain first\nsearch last. .\noptions ndots:99 attempts:0 \
             timeout:99 nonsense:1 edns0\nnameserver one\nnameserver 1.1.1.1\nnameserver 1.1.1.2\n\
             nameserver 1.1.1.3\nnameserver 1.1.1.4\n",
        );
        assert_eq!(settings.servers.len(), 3);
        assert_eq!((settings.ndots, settings.attempts, settings.edns0), (15, 1, true));
        assert_eq!(settings.timeout, Duration::from_secs(30));
        assert_eq!(settings.candidates("x"), ["x.last.", "x."]);
    }
}
