//! Manifests that are not there any more, and for how long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What a file held stays for so long after the file has gone: who replaces files (`git checkout`,
/// rsync, an editor) often removes them first.
const GRACE: Duration = Duration::from_secs(5);

/// Manifests that have gone lately, or that records name and that are not there, and since when.
#[derive(Debug, Default)]
pub struct VanishedManifests(BTreeMap<String, Instant>);

impl VanishedManifests {
    /// The manifest goes now, also where it went before and came again.
    pub fn goes(&mut self, manifest: &str, now: Instant) {
        self.0.insert(manifest.to_owned(), now);
    }

    /// `named`: what records name and what is not there. A process that has just started cannot tell for
    /// how long a file has been gone: it counts from its own first look.
    pub fn look(&mut self, named: &BTreeSet<&String>, now: Instant) {
        for manifest in named {
            self.0.entry((*manifest).clone()).or_insert(now);
        }
        self.0.retain(|path, since| is_within(*since, now) || named.contains(path));
    }

    /// Whether the objects of a manifest that does not hold them now are to stay for a while.
    pub fn has_grace(&self, manifest: &str, now: Instant) -> bool {
        self.0.get(manifest).is_some_and(|since| is_within(*since, now))
    }

    /// Whether time alone may change what is to be done.
    pub fn is_waiting(&self) -> bool {
        !self.0.is_empty()
    }
}

fn is_within(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < GRACE
}

#[cfg(test)]
mod tests {
    use super::*;

    const A_MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn what_a_file_held_stays_for_five_seconds_and_no_longer() {
        let (begun, path) = (Instant::now(), "claims.yaml".to_owned());
        let (named, nothing) = (BTreeSet::from([&path]), BTreeSet::new());
        let five = Duration::from_secs(5);
        for first_seen_by_its_record in [false, true] {
            let mut vanished = VanishedManifests::default();
            assert!(!vanished.has_grace(&path, begun) && !vanished.is_waiting());
            if !first_seen_by_its_record {
                vanished.goes(&path, begun);
            }
            for look in 0..5 {
                vanished.look(&named, begun + Duration::from_secs(look));
            }
            assert!(vanished.has_grace(&path, begun + five - A_MOMENT));
            assert!(!vanished.has_grace(&path, begun + five));
            // It is looked after until its record has ended.
            vanished.look(&named, begun + five);
            assert!(vanished.is_waiting() && !vanished.has_grace(&path, begun + five));
            vanished.look(&nothing, begun + five);
            assert!(!vanished.is_waiting());
        }
    }

    #[test]
    fn a_file_that_came_and_went_again_has_the_whole_time_again() {
        let (begun, path) = (Instant::now(), "claims.yaml".to_owned());
        let later = begun + GRACE - A_MOMENT;
        let mut vanished = VanishedManifests::default();
        vanished.goes(&path, begun);
        vanished.goes(&path, later);
        assert!(vanished.has_grace(&path, later + GRACE - A_MOMENT));
        assert!(!vanished.has_grace(&path, later + GRACE));
    }
}
