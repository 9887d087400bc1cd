//! Since when a network interface has been able to carry addresses, or not: what is said of that
//! decides where addresses go, so a moment changes nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// So long it can carry nothing before that is said.
const UNUSABLE_FOR: Duration = Duration::from_secs(10);
/// So long it can before it is no longer said.
const USABLE_FOR: Duration = Duration::from_secs(30);

/// Interfaces by hardware address, or by another name of theirs.
#[derive(Debug)]
pub(crate) struct InterfaceHealth<Name = [u8; 6]>(BTreeMap<Name, SeenHealth>);

impl<Name> Default for InterfaceHealth<Name> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

#[derive(Debug)]
struct SeenHealth {
    usable: bool,
    /// Since when it is as it is.
    since: Instant,
    said: Option<String>,
}

impl<Name: Ord> InterfaceHealth<Name> {
    /// Takes note of one look; `why` it cannot carry addresses, `None` where it can.
    pub(crate) fn note(&mut self, name: Name, why: Option<&str>, now: Instant) {
        let usable = why.is_none();
        let new = SeenHealth { usable, since: now, said: None };
        let seen = self.0.entry(name).or_insert(new);
        if seen.usable != usable {
            (seen.usable, seen.since) = (usable, now);
        }
        let lasts = now.duration_since(seen.since);
        match why {
            Some(why) if lasts >= UNUSABLE_FOR || seen.said.is_some() => {
                seen.said = Some(why.to_owned());
            }
            None if lasts >= USABLE_FOR => seen.said = None,
            _ => {}
        }
    }

    /// Takes over what an earlier process has said: it holds until the interface has been usable for long.
    pub(crate) fn recall(&mut self, name: Name, why: &str, now: Instant) {
        let new = SeenHealth { usable: false, since: now, said: None };
        let seen = self.0.entry(name).or_insert(new);
        seen.said.get_or_insert_with(|| why.to_owned());
    }

    /// Why it has not been able to carry addresses for a while; `None` where it has.
    pub(crate) fn said(&self, name: &Name) -> Option<&str> {
        self.0.get(name)?.said.as_deref()
    }

    /// All of which that is said.
    pub(crate) fn all_said(&self) -> impl Iterator<Item = (&Name, &str)> {
        self.0.iter().filter_map(|(name, seen)| Some((name, seen.said.as_deref()?)))
    }

    /// Whether something may have to be said, or no longer, before long.
    pub(crate) fn changes(&self) -> bool {
        self.0.values().any(|seen| !seen.usable || seen.said.is_some())
    }

    /// Forgets all others.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&Name) -> bool) {
        self.0.retain(|name, _| wanted(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];

    /// What is said after each look: so many seconds after the first, and what was seen.
    fn said(looks: &[(u64, Option<&str>)]) -> Vec<Option<String>> {
        let (begun, mut health) = (Instant::now(), InterfaceHealth::default());
        let mut said = Vec::new();
        for (at, why) in looks {
            health.note(MAC, *why, begun + Duration::from_secs(*at));
            said.push(health.said(&MAC).map(str::to_owned));
        }
        said
    }

    #[test]
    fn trouble_is_said_when_it_lasts_and_until_it_has_been_gone_for_long() {
        let down = Some("it is down");
        let said = said(&[(0, down), (9, down), (10, down), (11, None), (40, None), (41, None)]);
        let told = Some("it is down".to_owned());
        assert_eq!(said, [None, None, told.clone(), told.clone(), told, None]);
    }

    #[test]
    fn what_comes_and_goes_is_neither_said_nor_taken_back() {
        let down = Some("it is down");
        let blinks = [(0, None), (5, down), (9, None), (10, down), (19, down), (20, None)];
        assert_eq!(said(&blinks), vec![None; 6]);
        let told = Some("it is down".to_owned());
        let looks = [(0, down), (10, down), (20, None), (45, down), (50, None), (79, None)];
        assert_eq!(said(&looks)[1..], vec![told; 5]);
    }

    #[test]
    fn what_an_earlier_process_said_holds_until_it_has_been_usable_for_long() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        for noted_before in [false, true] {
            let mut health = InterfaceHealth::default();
            if noted_before {
                health.note(MAC, None, at(0));
            }
            health.recall(MAC, "it is down", at(0));
            let said = [0, 29, 30].map(|second| {
                health.note(MAC, None, at(second));
                health.said(&MAC).map(str::to_owned)
            });
            let told = Some("it is down".to_owned());
            assert_eq!(said, [told.clone(), told, None]);
        }
    }
}
