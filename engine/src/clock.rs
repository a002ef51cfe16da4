//! Time and chance, passed in: no stage reads a clock or draws a random number
//! on its own, so that a test repeats a run from one seed.

use std::time::{SystemTime, UNIX_EPOCH};

/// Wall time, as signatures carry it; waits go by the ring's own time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// One instant for ever, so that a signature repeats.
    Fixed(SystemTime),
}

impl Clock {
    /// What it shows.
    pub fn now(self) -> SystemTime {
        match self {
            Self::System => SystemTime::now(),
            Self::Fixed(at) => at,
        }
    }
}

/// A repeatable source of chance (SplitMix64; for jitter, not for secrets).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of `seed`.
    pub fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence that differs from run to run; in a simulation, the seed's.
    pub fn from_clock() -> Self {
        #[cfg(feature = "sim")]
        if let Some(world) = crate::sim::world() {
            return Self(world.bits());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(now.as_secs() ^ u64::from(now.subsec_nanos()) << 32 ^ u64::from(std::process::id()))
    }

    /// The next 64 bits.
    pub fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number in `0..=most`.
    pub fn up_to(&mut self, most: u64) -> u64 {
        match most.checked_add(1) {
            Some(span) => self.next_bits() % span,
            None => self.next_bits(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Reference values of SplitMix64 for seed 1234567 (Vigna's splitmix64.c).
    #[test]
    fn follows_the_published_sequence() {
        let mut chance = Chance::from_seed(1_234_567);
        let drawn: Vec<u64> = (0..3).map(|_| chance.next_bits()).collect();
        assert_eq!(
            drawn,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn stays_within_the_bound() {
        let mut chance = Chance::from_seed(7);
        assert!((0..1000).all(|_| chance.up_to(3) <= 3));
    }
}
