//! Whether the process lives (restart it otherwise) and is ready (wait for it otherwise).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The health of a process. A clone is the same health.
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begun: Instant,
    pulses: Mutex<BTreeMap<&'static str, (Duration, Arc<AtomicU64>)>>,
    unready: Mutex<BTreeMap<&'static str, Option<String>>>,
}

/// Held by a loop, which beats with it.
#[derive(Clone, Debug)]
pub struct Pulse {
    begun: Instant,
    last: Arc<AtomicU64>,
}

impl Pulse {
    /// Says that the loop goes round. Never blocks.
    pub fn beat(&self) {
        self.last.store(milliseconds(self.begun.elapsed()), Ordering::Relaxed);
    }
}

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Inner {
            begun: Instant::now(),
            pulses: Mutex::default(),
            unready: Mutex::default(),
        }))
    }
}

impl Health {
    /// A loop that has to beat at least every `limit`, from now on, for the process to be alive.
    #[must_use]
    pub fn pulse(&self, name: &'static str, limit: Duration) -> Pulse {
        let pulse = Pulse { begun: self.0.begun, last: Arc::default() };
        pulse.beat();
        let entry = (limit, Arc::clone(&pulse.last));
        self.0.pulses.lock().unwrap_or_else(PoisonError::into_inner).insert(name, entry);
        pulse
    }

    /// What has to be there before the process is ready: `None` where it is, else what is missing.
    pub fn set_missing(&self, name: &'static str, missing: Option<String>) {
        self.0.unready.lock().unwrap_or_else(PoisonError::into_inner).insert(name, missing);
    }

    /// The loops that have not beaten in time, one sentence each; none where the process lives.
    #[must_use]
    pub fn dead(&self) -> Vec<String> {
        self.dead_at(self.0.begun.elapsed())
    }

    fn dead_at(&self, now: Duration) -> Vec<String> {
        let pulses = self.0.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        let overdue = pulses.iter().filter_map(|(name, (limit, last))| {
            let silent = now.saturating_sub(Duration::from_millis(last.load(Ordering::Relaxed)));
            (silent > *limit).then(|| {
                format!(
                    "{name}: no progress for {:.1} s, allowed are {limit:?}",
                    silent.as_secs_f64()
                )
            })
        });
        overdue.collect()
    }

    /// What is missing, one sentence each; none where the process is ready. What is dead is not
    /// ready.
    #[must_use]
    pub fn unready(&self) -> Vec<String> {
        let unready = self.0.unready.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing: Vec<_> = unready
            .iter()
            .filter_map(|(name, missing)| missing.as_ref().map(|what| format!("{name}: {what}")))
            .collect();
        missing.extend(self.dead());
        missing
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_dead_until_it_beats_again() {
        let health = Health::default();
        let pulse = health.pulse("lease loop", Duration::from_secs(60));
        assert_eq!(health.dead(), Vec::<String>::new());
        let later = health.0.begun.elapsed() + Duration::from_secs(61);
        let dead = health.dead_at(later);
        assert!(dead.len() == 1 && dead[0].starts_with("lease loop: no progress"), "{dead:?}");
        pulse.last.store(milliseconds(later), Ordering::Relaxed);
        assert_eq!(health.dead_at(later), Vec::<String>::new());
    }

    #[test]
    fn readiness_names_what_is_missing() {
        let health = Health::default();
        health.set_missing("store", Some("no complete snapshot yet".into()));
        health.set_missing("datapath", None);
        assert_eq!(health.clone().unready(), ["store: no complete snapshot yet"]);
        health.set_missing("store", None);
        assert!(health.unready().is_empty());
    }
}
