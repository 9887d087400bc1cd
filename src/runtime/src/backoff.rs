//! When a failed call is repeated: by the class of its error, with jitter, for ever.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use egret_ports::error::{ErrorClass, PortError};

/// How long to wait after the `failures`th failure in a row (counted from 1), all of whose errors
/// are alike. `jitter` is random in `0.0..=1.0`, drawn for every wait: the wait lies between half
/// of the class's value and all of it, so that what failed together does not come back together.
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
    let doublings = failures.saturating_sub(1).min(16);
    let full = Duration::from_millis((first << doublings).min(most));
    let half = full / 2;
    let wait = half + half.mul_f64(jitter.clamp(0.0, 1.0));
    match class {
        ErrorClass::Throttled { after: Some(after) } if after > half => after + (wait - half),
        _ => wait,
    }
}

/// Counts failures of one thing in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes a failure; returns how long to wait before the next try.
    pub fn failed(&mut self, class: ErrorClass) -> Duration {
        self.failures = self.failures.saturating_add(1);
        delay(class, self.failures, random())
    }

    /// Notes a success.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// Repeats `attempt` until it succeeds; `report` hears of every failure and of the wait that
/// follows. Never gives up: drop the future to stop.
pub async fn retry<T>(
    mut attempt: impl AsyncFnMut() -> Result<T, PortError>,
    mut report: impl FnMut(&PortError, Duration),
) -> T {
    let mut backoff = Backoff::default();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => {
                let wait = backoff.failed(error.class);
                report(&error, wait);
                tokio::time::sleep(wait).await;
            }
        }
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
    use tokio::time::Instant;

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
    fn jitter_spreads() {
        let draws: Vec<_> = (0..64).map(|_| random()).collect();
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        assert!(draws.iter().any(|draw| *draw < 0.5) && draws.iter().any(|draw| *draw >= 0.5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_failures_are_outlived_and_success_ends_it() {
        let begun = Instant::now();
        let (mut tries, mut waited) = (0, Duration::ZERO);
        let result = retry(
            async || {
                tries += 1;
                if tries > 100 {
                    return Ok(tries);
                }
                Err(PortError::new(ErrorClass::Transient, "attach 192.0.2.1", "timed out"))
            },
            |_, wait| waited += wait,
        )
        .await;
        assert_eq!(result, 101);
        assert!(waited >= Duration::from_secs(90 * 15), "{waited:?}");
        assert!(begun.elapsed() >= waited);
    }

    #[test]
    fn success_begins_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.failed(ErrorClass::Transient);
        }
        backoff.succeeded();
        assert!(backoff.failed(ErrorClass::Transient) <= Duration::from_millis(200));
    }
}
