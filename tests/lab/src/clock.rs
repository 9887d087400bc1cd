use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment, in nanoseconds of the wall clock: the clock that the kernel stamps captured packets
/// with and that logs carry. One laboratory runs on one machine, so its stamps compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub u64);

impl WallTime {
    /// The present moment.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long after `earlier` this is; zero where it is before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Milliseconds after `zero`, negative where it is before.
    #[must_use]
    pub fn millis_after(self, zero: Self) -> f64 {
        if self >= zero {
            self.since(zero).as_secs_f64() * 1e3
        } else {
            -zero.since(self).as_secs_f64() * 1e3
        }
    }
}

impl Add<Duration> for WallTime {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for WallTime {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000_000_000, self.0 / 1_000_000 % 1000)
    }
}

/// Asks every 10 ms until there is an answer, and less often where the question itself takes time: a
/// process that is started for each must not keep a CPU busy while others work.
///
/// # Errors
/// After `limit`, with `what` in the sentence.
pub fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        let asked = Instant::now();
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if begun.elapsed() > limit {
            anyhow::bail!("{what}: not within {:.1} s", limit.as_secs_f64());
        }
        let pause = asked.elapsed().min(Duration::from_millis(500));
        std::thread::sleep(pause.max(Duration::from_millis(10)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_subtract_both_ways() {
        let zero = WallTime(5_000_000_000);
        assert!((WallTime(5_250_000_000).millis_after(zero) - 250.0).abs() < 1e-6);
        assert!((WallTime(4_750_000_000).millis_after(zero) + 250.0).abs() < 1e-6);
        assert_eq!(zero.since(WallTime(6_000_000_000)), Duration::ZERO);
    }

    #[test]
    fn waiting_ends_with_the_sentence() {
        let error = wait_until("the moon", Duration::from_millis(20), || None::<()>);
        assert!(error.is_err_and(|e| e.to_string().starts_with("the moon: not within")));
    }
}
