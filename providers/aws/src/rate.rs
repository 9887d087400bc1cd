//! Calls at most as often as EC2 admits them: it has a bucket of tokens for each action, account and Region,
//! and other tools of the account empty the same one. So a call waits here rather than be refused there, and
//! moves of addresses do not wait for what is less urgent.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use egret_ports::locks::Locks;
use tokio::time::Instant;

/// Actions with a bucket of their own: how much it holds, and what is added a second
/// (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>, "Request token bucket sizes
/// and refill rates").
const UNCATEGORIZED: [(&str, f64, f64); 3] = [
    ("AssignIpv6Addresses", 100.0, 5.0),
    ("AssignPrivateIpAddresses", 100.0, 5.0),
    ("UnassignPrivateIpAddresses", 100.0, 5.0),
];
/// Of each action that reads, with a filter.
const NON_MUTATING: (f64, f64) = (100.0, 20.0);
/// Of each other action.
const MUTATING: (f64, f64) = (50.0, 5.0);
/// All calls together: so many seconds' worth may be made at once.
const BURST: f64 = 5.0;
/// What calls that can wait leave of a bucket for those that cannot.
const KEPT: f64 = 0.5;

/// Who waits for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Connections.
    Failover,
    /// Nobody yet: standbys are made ready, what is not wanted is taken away.
    Ordinary,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Limiter {
    buckets: Mutex<Buckets>,
    /// Of actions: what can wait goes in the order in which it came.
    lines: Locks,
}

#[derive(Debug)]
struct Buckets {
    all: Bucket,
    scale: f64,
    of: BTreeMap<&'static str, Bucket>,
}

/// Tokens, of which each call takes one; below 0 by as many as wait.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    most: f64,
    refill: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full((most, refill): (f64, f64), now: Instant) -> Self {
        Self { most, refill, tokens: most, at: now }
    }

    fn refill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + since * self.refill).min(self.most);
        self.at = now;
    }

    /// How long until there is a token for such a call.
    fn wait(&self, urgency: Urgency) -> Duration {
        let kept = match urgency {
            Urgency::Failover => 0.0,
            // A bucket of one token has none to keep.
            Urgency::Ordinary => (self.most * KEPT).min(self.most - 1.0),
        };
        Duration::from_secs_f64(((kept + 1.0 - self.tokens) / self.refill).max(0.0))
    }
}

impl Limiter {
    /// At most `per_second` calls a second of all actions in the long run, and for each action `scale` times
    /// what EC2 documents; both above 0.
    pub fn new(per_second: f64, scale: f64) -> Self {
        let per_second = per_second.clamp(0.01, 1e6);
        let all = Bucket::full(((per_second * BURST).max(1.0), per_second), Instant::now());
        let scale = scale.clamp(0.01, 1e6);
        let buckets = Mutex::new(Buckets { all, scale, of: BTreeMap::new() });
        Self { buckets, lines: Locks::default() }
    }

    /// Waits until a call may be made.
    pub async fn admit(&self, action: &'static str, urgency: Urgency) {
        let _first = match urgency {
            Urgency::Failover => None,
            Urgency::Ordinary => Some(self.lines.lock(action).await),
        };
        loop {
            let (admitted, wait) = self.ask(action, urgency, Instant::now());
            tokio::time::sleep(wait).await;
            if admitted {
                return;
            }
        }
    }

    /// Whether the call may be made after a wait; else it asks again after it. Who is urgent takes its
    /// token in advance.
    fn ask(&self, action: &'static str, urgency: Urgency, now: Instant) -> (bool, Duration) {
        let mut buckets = self.lock();
        let (mut all, mut own) = (buckets.all, buckets.bucket(action, now));
        all.refill(now);
        own.refill(now);
        let wait = own.wait(urgency).max(all.wait(urgency));
        let admitted = urgency == Urgency::Failover || wait.is_zero();
        if admitted {
            all.tokens -= 1.0;
            own.tokens -= 1.0;
        }
        buckets.all = all;
        buckets.of.insert(action, own);
        (admitted, wait)
    }

    /// EC2 throttles an action: its bucket is empty, for everybody, and not all come back at once. Returns for
    /// how long this process stays away.
    pub fn pause(&self, action: &'static str) -> Duration {
        let pause = Duration::from_secs(1).mul_f64(rand::random_range(1.0..2.0));
        let now = Instant::now();
        let mut buckets = self.lock();
        let mut own = buckets.bucket(action, now);
        own.refill(now);
        own.tokens = own.tokens.min(1.0 - pause.as_secs_f64() * own.refill);
        buckets.of.insert(action, own);
        pause
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buckets {
    fn bucket(&self, action: &'static str, now: Instant) -> Bucket {
        let documented = || {
            let own = UNCATEGORIZED.iter().find(|(name, ..)| *name == action);
            let (most, refill) = match own {
                Some((_, most, refill)) => (*most, *refill),
                None if action.starts_with("Describe") => NON_MUTATING,
                None => MUTATING,
            };
            Bucket::full(((most * self.scale).max(1.0), refill * self.scale), now)
        };
        self.of.get(action).copied().unwrap_or_else(documented)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(limiter: &Limiter, action: &'static str, calls: u32) -> Vec<f64> {
        let now = Instant::now();
        let ask = |_| limiter.ask(action, Urgency::Failover, now).1.as_secs_f64();
        (0..calls).map(ask).collect()
    }

    #[test]
    fn fifty_associations_go_at_once_and_the_rest_as_the_bucket_fills() {
        let limiter = Limiter::new(1_000.0, 1.0);
        let waits = waits(&limiter, "AssociateAddress", 61);
        assert!(waits[..49].iter().all(|wait| *wait == 0.0), "{waits:?}");
        assert!(waits.is_sorted() && (waits[60] - 2.2).abs() < 0.1, "{waits:?}");
        let others = super::tests::waits(&limiter, "AssignPrivateIpAddresses", 99);
        assert!(others.iter().all(|wait| *wait == 0.0), "each action has its own: {others:?}");
    }

    #[test]
    fn all_calls_together_are_limited_too() {
        let limiter = Limiter::new(10.0, 1_000.0);
        let waits = waits(&limiter, "DescribeAddresses", 71);
        assert!(waits[..49].iter().all(|wait| *wait == 0.0), "{waits:?}");
        assert!((waits[70] - 2.1).abs() < 0.1, "{waits:?}");
    }

    #[test]
    fn what_can_wait_leaves_half_of_a_bucket_to_what_cannot() {
        let limiter = Limiter::new(1_000.0, 1.0);
        let now = Instant::now();
        let ordinary = || limiter.ask("AssociateAddress", Urgency::Ordinary, now).0;
        let admitted = (0..60).filter(|_| ordinary()).count();
        assert_eq!(admitted, 25);
        let urgent = waits(&limiter, "AssociateAddress", 25);
        assert!(urgent.iter().all(|wait| *wait == 0.0), "{urgent:?}");
        // Of that of all actions too.
        let limiter = Limiter::new(10.0, 1_000.0);
        let ordinary = || limiter.ask("AssociateAddress", Urgency::Ordinary, now).0;
        assert_eq!((0..60).filter(|_| ordinary()).count(), 25);
        let small = Limiter::new(0.1, 0.01);
        assert!(small.ask("AssociateAddress", Urgency::Ordinary, Instant::now()).0, "of one token");
    }

    #[test]
    fn who_was_throttled_stays_away_for_a_random_time_from_that_action_alone() {
        let limiter = Limiter::new(1_000.0, 1.0);
        let pause = limiter.pause("AssociateAddress");
        assert!(pause >= Duration::from_secs(1) && pause <= Duration::from_secs(2));
        let wait = waits(&limiter, "AssociateAddress", 1)[0];
        assert!(wait > pause.as_secs_f64() - 0.1, "{wait}");
        assert_eq!(waits(&limiter, "DescribeAddresses", 1), [0.0]);
        assert_ne!(pause, limiter.pause("AssociateAddress"), "not all come back at once");
    }
}
