//! When what other programs do with marks was read, and when it is read again.

use std::time::{Duration, Instant};

/// Whether nftables has changed is asked every so many ticks.
const GENERATION_EVERY: u64 = 10;

/// iptables' own rules have no generation: they are read again after so many ticks anyway.
const READ_AFTER: u64 = 600;

/// A reading takes one part in so many of the time at most, where rules change all the time.
const REST: u32 = 100;

/// But a rule that drops what has not a bit (Calico's eBPF mode begins) is not met for longer.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// When firewalls were read last.
#[derive(Debug, Default)]
pub(crate) struct FirewallReading {
    /// The rule set's generation before.
    generation: Option<u32>,
    /// The tick at which the last reading began.
    began: u64,
    is_under_way: bool,
    /// Not read again before.
    rests_until: Option<Instant>,
}

impl FirewallReading {
    /// Whether the rule set's generation is asked for at this tick.
    pub(crate) fn asks(&self, tick: u64, now: Instant) -> bool {
        let rests = self.rests_until.is_some_and(|until| now < until);
        tick.is_multiple_of(GENERATION_EVERY) && !self.is_under_way && !rests
    }

    /// Whether to read now, with this generation; the reading has begun then. `None`: nobody knows.
    pub(crate) fn begins(&mut self, tick: u64, generation: Option<u32>) -> bool {
        let is_old = tick.saturating_sub(self.began) >= READ_AFTER;
        let begins = generation != self.generation || is_old;
        if begins {
            (self.generation, self.began, self.is_under_way) = (generation, tick, true);
        }
        begins
    }

    /// A reading took so long; one that failed is begun again.
    pub(crate) fn ended(&mut self, now: Instant, took: Duration, failed: bool) {
        self.is_under_way = false;
        self.rests_until = Some(now + (took * REST).min(LONGEST_REST));
        if failed {
            self.generation = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reading_rests_but_not_for_long() {
        let now = Instant::now();
        let mut reading = FirewallReading::default();
        for (took, rest) in [(Duration::from_millis(20), 2), (Duration::from_secs(8), 60)] {
            reading.ended(now, took, false);
            let rest = Duration::from_secs(rest);
            assert!(!reading.asks(10, now + rest - Duration::from_millis(1)), "{took:?}");
            assert!(reading.asks(10, now + rest), "{took:?}");
        }
    }

    /// A reading that rested at the tick that is a multiple of all is not put off to the next one.
    #[test]
    fn legacy_rules_are_read_again_whenever_the_rest_ends() {
        let now = Instant::now();
        let mut reading = FirewallReading::default();
        assert!(reading.begins(10, Some(7)));
        assert!(!reading.asks(20, now), "is under way");
        reading.ended(now, Duration::ZERO, false);
        assert!(!reading.begins(600, Some(7)) && reading.begins(610, Some(7)));
        reading.ended(now, Duration::ZERO, false);
        assert!(!reading.begins(620, Some(7)) && reading.begins(620, Some(8)));
        reading.ended(now, Duration::ZERO, true);
        assert!(reading.begins(630, Some(8)), "failed");
        assert!(!reading.asks(631, now));
    }
}
