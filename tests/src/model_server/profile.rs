//! What a store is like, as numbers.

use std::time::Duration;

const MIB: u64 = 1 << 20;

/// The time from a request's arrival to its answer's first byte: log-normal,
/// and for some requests several times that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Half of the requests take less.
    pub median: Duration,
    /// Standard deviation of the logarithm.
    pub sigma: f64,
    /// Requests in a thousand that take [`Latency::tail_factor`] times as long.
    pub tail_permille: u32,
    /// See there.
    pub tail_factor: u32,
}

/// A store, seen from a client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// As the command line has it.
    pub name: &'static str,
    /// One round trip; a request takes one, a new connection one more.
    pub round_trip: Duration,
    /// What the store itself takes.
    pub first_byte: Option<Latency>,
    /// What one connection carries, a direction.
    pub connection_bytes_per_s: Option<u64>,
    /// What all connections carry together, a direction.
    pub link_bytes_per_s: Option<u64>,
    /// Requests above this are answered with 503 SlowDown.
    pub requests_per_s: Option<u32>,
}

/// No client can be faster than this.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Of all connections; `None` where only the machine limits.
    pub bytes_per_s: Option<f64>,
    /// Of all connections; `None` where only the machine limits.
    pub requests_per_s: Option<f64>,
    /// The least time for the whole.
    pub least: Duration,
}

/// A region's store as its clients have measured it: Durner, Leis and Neumann
/// (VLDB 2023) found 30 ms to the first byte and 20 ms more for each MiB, which
/// is a connection's rate of 50 MiB/s. Amazon documents 5,500 GETs a second and
/// prefix. Spread and tail are assumptions of ours.
const S3_LIKE: Profile = Profile {
    name: "s3-like",
    round_trip: Duration::from_micros(500),
    first_byte: Some(Latency {
        median: Duration::from_millis(30),
        sigma: 0.35,
        tail_permille: 10,
        tail_factor: 8,
    }),
    connection_bytes_per_s: Some(50 * MIB),
    link_bytes_per_s: None,
    requests_per_s: Some(5_500),
};

impl Profile {
    /// All of them.
    pub const ALL: [Self; 6] = [
        // Nothing but this machine: what the model itself can serve.
        Self {
            name: "plain",
            round_trip: Duration::ZERO,
            first_byte: None,
            connection_bytes_per_s: None,
            link_bytes_per_s: None,
            requests_per_s: None,
        },
        S3_LIKE,
        // A store in the same rack: flash, 10 Gbit/s.
        Self {
            name: "lan",
            round_trip: Duration::from_micros(200),
            first_byte: Some(Latency {
                median: Duration::from_millis(2),
                sigma: 0.3,
                tail_permille: 5,
                tail_factor: 10,
            }),
            connection_bytes_per_s: None,
            link_bytes_per_s: Some(1_250_000_000),
            requests_per_s: None,
        },
        // Another continent: a window of 1 MiB over 80 ms is 12.5 MiB/s a
        // connection; a link of 1 Gbit/s.
        Self {
            name: "wan",
            round_trip: Duration::from_millis(80),
            connection_bytes_per_s: Some(25 * MIB / 2),
            link_bytes_per_s: Some(125_000_000),
            ..S3_LIKE
        },
        // A prefix that other jobs are reading too.
        Self { name: "throttled", requests_per_s: Some(200), ..S3_LIKE },
        // One spinning disk behind a gateway: a seek and half a turn at
        // 7,200/min are 8.5 + 4.2 ms, and the disk reads 180 MiB/s.
        Self {
            name: "slow-disk",
            round_trip: Duration::from_micros(200),
            first_byte: Some(Latency {
                median: Duration::from_micros(12_700),
                sigma: 0.4,
                tail_permille: 10,
                tail_factor: 10,
            }),
            connection_bytes_per_s: None,
            link_bytes_per_s: Some(180 * MIB),
            requests_per_s: None,
        },
    ];

    /// The profile of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }

    /// What a client with so many connections can reach at best, when it moves
    /// `bytes` in `requests` of equal size.
    pub fn limit(&self, connections: u32, requests: u64, bytes: u64) -> Limit {
        let connections = f64::from(connections.max(1));
        let (asked, volume) = (requests.max(1) as f64, bytes as f64);
        let each = volume / asked;
        let waited = self.round_trip.as_secs_f64() + self.first_byte.map_or(0.0, Latency::mean_s);
        let moved = self.connection_bytes_per_s.map_or(0.0, |rate| each / rate as f64);
        let busy = waited + moved;
        let by_delay = (busy > 0.0).then(|| connections / busy);
        let by_rate = self.requests_per_s.map(f64::from);
        let by_link = self.link_bytes_per_s.map(|rate| rate as f64 / each.max(1.0));
        let requests_per_s = [by_delay, by_rate, by_link].into_iter().flatten().reduce(f64::min);
        let connected = self.connection_bytes_per_s.map(|rate| rate as f64 * connections);
        let linked = self.link_bytes_per_s.map(|rate| rate as f64);
        let asked_for = requests_per_s.map(|rate| rate * each);
        let bytes_per_s = [connected, linked, asked_for].into_iter().flatten().reduce(f64::min);
        let least = requests_per_s.map_or(0.0, |rate| asked / rate);
        Limit { bytes_per_s, requests_per_s, least: Duration::from_secs_f64(least) }
    }
}

impl Latency {
    /// The mean of the distribution, in seconds.
    pub fn mean_s(self) -> f64 {
        let body = self.median.as_secs_f64() * (self.sigma * self.sigma / 2.0).exp();
        let tail = f64::from(self.tail_permille) / 1000.0;
        body * (1.0 + tail * (f64::from(self.tail_factor) - 1.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_told_apart() {
        for profile in Profile::ALL {
            assert_eq!(Profile::named(profile.name), Some(profile));
        }
        assert_eq!(Profile::named("s3"), None);
    }

    // By hand: 100 connections of 10 MiB/s with no delay carry 1,000 MiB/s;
    // 100 requests of 10 MiB on them take one second.
    #[test]
    fn connections_add_up() {
        let profile =
            Profile { connection_bytes_per_s: Some(10 * MIB), ..Profile::named("plain").unwrap() };
        let limit = profile.limit(100, 100, 1000 * MIB);
        assert_eq!(limit.bytes_per_s, Some(1000.0 * 1_048_576.0));
        assert_eq!(limit.requests_per_s, Some(100.0));
        assert_eq!(limit.least, Duration::from_secs(1));
    }

    // By hand: 20,000 requests at 200 a second take 100 s however many ask.
    #[test]
    fn a_request_rate_is_a_floor() {
        let limit = Profile::named("throttled").unwrap().limit(1000, 20_000, 20_000 << 14);
        assert_eq!(limit.requests_per_s, Some(200.0));
        assert_eq!(limit.least, Duration::from_secs(100));
    }

    #[test]
    fn the_machine_alone_is_no_number() {
        let limit = Profile::named("plain").unwrap().limit(8, 10, 1 << 30);
        assert_eq!((limit.bytes_per_s, limit.requests_per_s), (None, None));
        assert_eq!(limit.least, Duration::ZERO);
    }
}
