//! When a request's first byte comes: a pure function of seed and serial
//! number.

use std::time::Duration;

use super::profile::Latency;

/// Nothing takes longer, whatever the dice say.
const FIRST_BYTE_MAX: Duration = Duration::from_secs(10);

/// The delays of a run.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    seed: u64,
    latency: Option<Latency>,
}

impl Schedule {
    /// Delays drawn from `latency` with `seed`; none without one.
    pub fn new(latency: Option<Latency>, seed: u64) -> Self {
        Self { seed, latency }
    }

    /// The delay of the request of this number; the same for the same seed.
    pub fn first_byte(&self, serial: u64) -> Duration {
        let Some(latency) = self.latency else { return Duration::ZERO };
        let draw =
            |purpose| unit(mix(self.seed ^ mix(serial.wrapping_mul(3).wrapping_add(purpose))));
        // Box and Muller: two uniform numbers make a normal one.
        let normal = (-2.0 * draw(0).ln()).sqrt() * (std::f64::consts::TAU * draw(1)).cos();
        let tail = draw(2) * 1000.0 < f64::from(latency.tail_permille);
        let factor = if tail { f64::from(latency.tail_factor) } else { 1.0 };
        let delay = latency.median.as_secs_f64() * (latency.sigma * normal).exp() * factor;
        Duration::from_secs_f64(delay.min(FIRST_BYTE_MAX.as_secs_f64()))
    }
}

/// An answer that stops for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hang {
    /// After so many thousandths of its body; 0 is before its head.
    pub at_permille: u64,
    /// For so long.
    pub time: Duration,
}

impl Hang {
    /// Whether and how the answer of this number hangs: one in a hundred, for 5 to
    /// 15 s; every other one before its head, the others somewhere in their body.
    pub fn of(seed: u64, serial: u64) -> Option<Self> {
        let draw = |purpose: u64| unit(mix(mix(seed ^ purpose).wrapping_add(serial)));
        if draw(11) > 0.01 {
            return None;
        }
        let coin = mix(seed ^ 12).wrapping_add(serial);
        let at_permille = if coin.is_multiple_of(2) { 0 } else { mix(coin) % 1_000 };
        Some(Self { at_permille, time: Duration::from_secs_f64(5.0 + 10.0 * draw(14)) })
    }
}

/// SplitMix64's output function (Steele, Lea, Flood 2014) of `value` advanced
/// once.
pub(super) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// In (0, 1]: zero has no logarithm.
fn unit(value: u64) -> f64 {
    ((value >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_hundred_hangs_for_5_to_15_s() {
        let hangs: Vec<_> = (0..DRAWS).filter_map(|serial| Hang::of(7, serial)).collect();
        assert!((900..1100).contains(&hangs.len()), "{}", hangs.len());
        let early = hangs.iter().filter(|hang| hang.at_permille == 0).count();
        assert!((400..600).contains(&early), "{early}");
        for hang in &hangs {
            assert!(
                (5.0..=15.0).contains(&hang.time.as_secs_f64()) && hang.at_permille < 1_000,
                "{hang:?}"
            );
        }
        assert_eq!(Hang::of(7, 99), Hang::of(7, 99));
    }

    const DRAWS: u64 = 100_000;
    const LATENCY: Latency = Latency {
        median: Duration::from_millis(30),
        sigma: 0.35,
        tail_permille: 0,
        tail_factor: 8,
    };

    fn sorted(latency: Latency, seed: u64) -> Vec<f64> {
        let schedule = Schedule::new(Some(latency), seed);
        let mut drawn: Vec<f64> =
            (0..DRAWS).map(|serial| schedule.first_byte(serial).as_secs_f64()).collect();
        drawn.sort_by(f64::total_cmp);
        drawn
    }

    fn close(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 0.02, "{found} instead of {expected}");
    }

    // Quantiles of the standard normal from its table: 0.8413 at 1, 0.9772 at
    // 2, 0.1587 at -1.
    #[test]
    fn quantiles_are_those_of_a_log_normal() {
        for seed in [1, 2, 77] {
            let drawn = sorted(LATENCY, seed);
            close(drawn[50_000], 0.030);
            close(drawn[84_130], 0.030 * 0.35_f64.exp());
            close(drawn[15_870], 0.030 * (-0.35_f64).exp());
            close(drawn[97_720], 0.030 * 0.70_f64.exp());
            close(drawn.iter().sum::<f64>() / 100_000.0, LATENCY.mean_s());
        }
    }

    // Without the tail 0.035 ‰ lie five and a half deviations out at 0.2 s.
    #[test]
    fn the_tail_has_its_share() {
        let drawn = sorted(Latency { tail_permille: 10, ..LATENCY }, 3);
        // Eight times the median halves the tail: 5 ‰ lie above 240 ms.
        let above = drawn.iter().filter(|delay| **delay > 0.240).count();
        assert!((430..570).contains(&above), "{above} of 100,000");
        close(drawn.iter().sum::<f64>() / 100_000.0, 0.030 * 1.063_2 * 1.07);
    }

    #[test]
    fn a_seed_repeats_and_another_differs() {
        let first = |seed| {
            let schedule = Schedule::new(Some(LATENCY), seed);
            (0..100).map(|serial| schedule.first_byte(serial)).collect::<Vec<_>>()
        };
        assert_eq!(first(5), first(5));
        assert_ne!(first(5), first(6));
    }

    // The first outputs of SplitMix64 from the state 1234567, as its authors'
    // code gives them.
    #[test]
    fn the_generator_is_splitmix() {
        assert_eq!(mix(1_234_567), 6_457_827_717_110_365_317);
        let second = 1_234_567_u64.wrapping_add(0x9e37_79b9_7f4a_7c15);
        assert_eq!(mix(second), 3_203_168_211_198_807_973);
    }
}
