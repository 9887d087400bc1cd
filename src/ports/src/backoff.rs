//! When a failed call is repeated: after a wait that doubles, with jitter, for ever.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use crate::error::ErrorClass;

/// How long to wait after the `failures`th failure in a row (counted from 1), the last of which is
/// of `class`, whatever those before it were. `jitter` is random in `0.0..=1.0`, drawn for every
/// wait: the wait lies between half of the class's value and all of it, so that what failed together
/// does not come back together.
///
/// | class | first wait | doubles up to |
/// |---|---|---|
/// | conflict | 50 ms | 5 s |
/// | transient | 200 ms | 30 s |
/// | not found | 1 s | 1 min |
/// | throttled | 1 s, and no less than the other side asks for | 1 min |
/// | denied, quota | 10 s | 5 min |
/// | invalid | 30 s | 10 min |
///
/// Denied, quota and invalid wait for a person: a change of what is wanted is tried at once by
/// whoever sees it, this is only the watch over the other side.
#[must_use]
pub fn delay(class: ErrorClass, failures: u32, jitter: f64) -> Duration {
    let (first, most) = match class {
        ErrorClass::Conflict => (50, 5_000),
        ErrorClass::Transient => (200, 30_000),
        ErrorClass::NotFound | ErrorClass::Throttled { .. } => (1_000, 60_000),
        ErrorClass::Denied | ErrorClass::Quota => (10_000, 300_000),
        ErrorClass::Invalid => (30_000, 600_000),
    };
    let [initial, max] = [first, most].map(|value| Duration::from_millis(value) / 2);
    let half = ExponentialDelay { initial, max }.after(failures);
    let wait = half + half.mul_f64(jitter.clamp(0.0, 1.0));
    match class {
        ErrorClass::Throttled { after: Some(after) } if after > half => after + (wait - half),
        _ => wait,
    }
}

/// A wait that doubles with every failure in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExponentialDelay {
    /// After the first failure.
    pub initial: Duration,
    /// It grows no longer than this.
    pub max: Duration,
}

impl ExponentialDelay {
    /// The wait after the `failures`th failure in a row (counted from 1), without jitter.
    #[must_use]
    pub fn after(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.initial.saturating_mul(1 << doublings).min(self.max)
    }
}

/// `wait` and at random up to half of it more: a thousand agents must not come back in one moment.
#[must_use]
pub fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + random() / 2.0)
}

/// Counts failures of one thing in a row; after a success a new one begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// After `failures` in a row, which somebody else has counted.
    #[must_use]
    pub fn after(failures: u32) -> Self {
        Self { failures }
    }

    /// Notes a failure; returns how long to wait before the next try.
    pub fn failed(&mut self, class: ErrorClass) -> Duration {
        self.failures = self.failures.saturating_add(1);
        delay(class, self.failures, random())
    }
}

/// Random enough to spread waits: every `RandomState` hashes with keys of its own.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLASSES: [(ErrorClass, u64, u64); 7] = [
        (ErrorClass::Conflict, 50, 5_000),
        (ErrorClass::Transient, 200, 30_000),
        (ErrorClass::NotFound, 1_000, 60_000),
        (ErrorClass::Throttled { after: None }, 1_000, 60_000),
        (ErrorClass::Denied, 10_000, 300_000),
        (ErrorClass::Quota, 10_000, 300_000),
        (ErrorClass::Invalid, 30_000, 600_000),
    ];

    #[test]
    fn each_class_begins_and_ends_where_the_table_says() {
        for (class, first, most) in CLASSES {
            let at = |failures, jitter| delay(class, failures, jitter).as_millis() as u64;
            assert_eq!((at(1, 0.0), at(1, 1.0)), (first / 2, first), "{class:?}");
            assert_eq!(at(2, 1.0), 2 * first, "{class:?}");
            assert_eq!((at(40, 0.0), at(u32::MAX, 1.0)), (most / 2, most), "{class:?}");
        }
    }

    #[test]
    fn a_throttle_waits_at_least_as_long_as_it_is_asked_to() {
        let after = Duration::from_secs(90);
        let class = ErrorClass::Throttled { after: Some(after) };
        assert_eq!(delay(class, 1, 0.0), after);
        assert!(delay(class, 1, 1.0) > after);
        let short = ErrorClass::Throttled { after: Some(Duration::from_millis(1)) };
        assert_eq!(delay(short, 1, 1.0), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn waits_never_shrink_with_failures_nor_leave_their_half(
            class in 0..CLASSES.len(), failures in 1u32..60, jitter in 0.0..=1.0f64,
        ) {
            let (class, first, most) = CLASSES[class];
            let wait = delay(class, failures, jitter);
            prop_assert!(wait <= delay(class, failures + 1, jitter));
            prop_assert!(wait >= Duration::from_millis(first / 2));
            prop_assert!(wait <= Duration::from_millis(most));
        }
    }

    #[test]
    fn a_delay_doubles_up_to_its_maximum() {
        let [initial, max] = [200, 5_000].map(Duration::from_millis);
        let after = |failures| ExponentialDelay { initial, max }.after(failures).as_millis();
        assert_eq!(
            [0, 1, 2, 3, 5, 6, u32::MAX].map(after),
            [200, 200, 400, 800, 3_200, 5_000, 5_000]
        );
        for _ in 0..64 {
            assert!((max..max.mul_f64(1.5)).contains(&jittered(max)));
        }
    }

    #[test]
    fn jitter_spreads() {
        let draws: Vec<_> = (0..64).map(|_| random()).collect();
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        assert!(draws.iter().any(|draw| *draw < 0.5) && draws.iter().any(|draw| *draw >= 0.5));
    }

    /// What an iterator of one schedule cannot say (docs/design.md decision 13).
    #[test]
    fn the_last_class_and_the_whole_row_count() {
        let mut backoff = Backoff::default();
        for _ in 0..4 {
            backoff.failed(ErrorClass::Transient);
        }
        let seconds = Duration::from_secs;
        let denied = backoff.failed(ErrorClass::Denied);
        assert!((seconds(80)..=seconds(160)).contains(&denied), "{denied:?}");
        let transient = backoff.failed(ErrorClass::Transient);
        assert!((seconds(3)..=seconds(7)).contains(&transient), "{transient:?}");
    }
}
