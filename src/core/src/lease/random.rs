//! The only source of chance: numbers from the seed of the process.

use std::time::Duration;

use super::clock::nanoseconds;

/// Steele and others 2014.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SplitMix64(u64);

impl SplitMix64 {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A length between nothing and `longest`.
    pub(super) fn up_to(&mut self, longest: Duration) -> Duration {
        let bound = nanoseconds(longest).saturating_add(1);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_nanos((z ^ (z >> 31)) % bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_lengths_within_the_bound() {
        let lengths = |seed| {
            let mut random = SplitMix64::new(seed);
            (0..100).map(|_| random.up_to(Duration::from_nanos(9))).collect::<Vec<_>>()
        };
        assert_eq!(lengths(1), lengths(1));
        assert_ne!(lengths(1), lengths(2));
        assert_eq!(lengths(1).into_iter().max(), Some(Duration::from_nanos(9)));
        assert_eq!(SplitMix64::new(1).up_to(Duration::ZERO), Duration::ZERO);
    }
}
