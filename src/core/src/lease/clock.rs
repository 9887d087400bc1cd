//! Moments on the two clocks of a machine, each a type of its own: a moment of one clock is never
//! compared with, or counted from, one of the other.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment of CLOCK_MONOTONIC_RAW, in nanoseconds: voters count on it, since no time daemon bends
/// it (docs/leases.md rule 1). 0 is always past.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RawTime(pub u64);

/// A moment of CLOCK_BOOTTIME, in nanoseconds: the clock of kernel deadlines, since BPF programs
/// can read it. 0 is always past.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BootTime(pub u64);

/// A moment on both clocks of one machine, read one after the other without sleeping between.
///
/// Neither runs backwards within a boot; neither is ever compared with another machine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now {
    /// What voters count on.
    pub raw: RawTime,
    /// What holders' deadlines are on.
    pub boot: BootTime,
}

impl Now {
    /// About when CLOCK_BOOTTIME will show what CLOCK_MONOTONIC_RAW shows at `raw`; the present
    /// where that is past. The clocks run apart by parts in a thousand: near enough for a wake-up.
    pub(super) fn boot_time_of(self, raw: RawTime) -> BootTime {
        self.boot + raw.since(self.raw)
    }
}

impl RawTime {
    /// Time passed since `earlier`; zero where `earlier` is later.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl BootTime {
    /// Time passed since `earlier`; zero where `earlier` is later.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The first moment from this one on that is a multiple of `step`; itself where `step` is zero.
    pub(super) fn round_up(self, step: Duration) -> Self {
        Self(self.0.checked_next_multiple_of(nanoseconds(step).max(1)).unwrap_or(u64::MAX))
    }
}

/// Ends at the greatest moment that there is.
impl Add<Duration> for RawTime {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(length)))
    }
}

/// Ends at the greatest moment that there is.
impl Add<Duration> for BootTime {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(length)))
    }
}

/// Ends at 0.
impl Sub<Duration> for BootTime {
    type Output = Self;

    fn sub(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(nanoseconds(length)))
    }
}

/// A length in whole nanoseconds; `u64::MAX` (584 years) where it is longer.
pub(super) fn nanoseconds(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_ends_at_the_ends_of_the_clock() {
        let second = Duration::from_secs(1);
        assert_eq!(BootTime(5) + Duration::from_nanos(2), BootTime(7));
        assert_eq!(BootTime(u64::MAX - 1) + second, BootTime(u64::MAX));
        assert_eq!(RawTime(1) + Duration::MAX, RawTime(u64::MAX));
        assert_eq!(BootTime(5) - second, BootTime(0));
        assert_eq!(BootTime(5).since(BootTime(3)), Duration::from_nanos(2));
        assert_eq!(BootTime(3).since(BootTime(5)), Duration::ZERO);
    }

    #[test]
    fn moments_are_rounded_up_to_a_step() {
        let step = Duration::from_nanos(4);
        assert_eq!([4, 5, 8].map(|at| BootTime(at).round_up(step).0), [4, 8, 8]);
        assert_eq!(BootTime(5).round_up(Duration::ZERO), BootTime(5));
        assert_eq!(BootTime(u64::MAX).round_up(step), BootTime(u64::MAX));
    }

    #[test]
    fn a_wake_up_on_the_raw_clock_is_as_far_away_on_the_other() {
        let now = Now { raw: RawTime(100), boot: BootTime(1000) };
        assert_eq!(now.boot_time_of(RawTime(130)), BootTime(1030));
        assert_eq!(now.boot_time_of(RawTime(70)), BootTime(1000), "past: at once");
    }
}
