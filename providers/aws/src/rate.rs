//! At most so many calls a second, and fewer after EC2 has asked for fewer.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Spaces calls: a burst of a second's worth, then evenly.
#[derive(Debug)]
pub(crate) struct Limiter {
    interval: Duration,
    /// When the calls admitted so far would have been made, had they been spaced.
    next: Mutex<Instant>,
}

impl Limiter {
    /// At most `per_second` calls a second in the long run; above 0.
    pub fn new(per_second: f64) -> Self {
        let interval = Duration::from_secs_f64(1.0 / per_second.clamp(0.01, 1e6));
        Self { interval, next: Mutex::new(Instant::now()) }
    }

    /// Waits until a call may be made.
    pub async fn admit(&self) {
        let at = self.reserve(Instant::now());
        tokio::time::sleep_until(at).await;
    }

    fn reserve(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let spaced = (*next).max(now);
        *next = spaced + self.interval;
        // What was not used of the last second may be used at once.
        spaced.checked_sub(Duration::from_secs(1)).map_or(now, |burst| burst.max(now))
    }

    /// EC2 throttles: nobody calls for a while, and then not all at once. Returns how long.
    pub fn pause(&self) -> Duration {
        let pause = Duration::from_secs(1).mul_f64(rand::random_range(1.0..2.0));
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(Instant::now() + Duration::from_secs(1) + pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_goes_at_once_and_the_rest_evenly() {
        let limiter = Limiter::new(10.0);
        let now = Instant::now();
        let waits: Vec<_> = (0..31).map(|_| limiter.reserve(now) - now).collect();
        assert!(waits[..10].iter().all(Duration::is_zero), "{waits:?}");
        assert!(waits.is_sorted(), "{waits:?}");
        assert!((waits[30].as_secs_f64() - 2.0).abs() < 0.2, "{waits:?}");
    }

    #[test]
    fn a_throttled_caller_stays_away_for_a_random_time() {
        let limiter = Limiter::new(1_000.0);
        let now = Instant::now();
        let pause = limiter.pause();
        assert!(limiter.reserve(now) - now >= pause);
        assert!(pause >= Duration::from_secs(1) && pause <= Duration::from_secs(2));
        let other = Limiter::new(1_000.0).pause();
        assert_ne!(pause, other, "who was throttled together does not come back together");
    }
}
