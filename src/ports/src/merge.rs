//! Changes of one thing that wait for each other become one call: a gateway that takes over fifty addresses needs one
//! call, not fifty, each of which waits for the one before or spoils the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A change that can be made together with others.
pub trait MergeableChange: Clone {
    /// Changes with the same key can be made together; `None`: by itself alone.
    fn key(&self) -> Option<String>;

    /// This change and `other`, which has the same key, as one.
    fn absorb(&mut self, other: &Self);
}

/// What tasks wait to change, and what became of it: nothing, or an error that all of them share.
#[derive(Debug)]
pub struct PendingChanges<C, E>(Mutex<Waiting<C, E>>);

impl<C, E> Default for PendingChanges<C, E> {
    fn default() -> Self {
        Self(Mutex::new(Waiting { next: 0, changes: BTreeMap::new() }))
    }
}

#[derive(Debug)]
struct Waiting<C, E> {
    next: u64,
    changes: BTreeMap<u64, WaitingChange<C, E>>,
}

type Outcome<E> = Arc<OnceLock<Result<(), E>>>;

#[derive(Debug)]
struct WaitingChange<C, E> {
    key: String,
    change: C,
    /// Changes of one batch are made together.
    batch: u64,
    outcome: Outcome<E>,
}

/// A change that waits; it waits no more once this is dropped.
#[derive(Debug)]
pub struct Registration<'a, C: MergeableChange, E> {
    pending: &'a PendingChanges<C, E>,
    change: C,
    number: u64,
    outcome: Outcome<E>,
}

impl<C: MergeableChange, E: Clone> Registration<'_, C, E> {
    /// What became of it, where another task has made the call.
    pub fn outcome(&self) -> Option<Result<(), E>> {
        self.outcome.get().cloned()
    }

    /// The change with all of its batch that can be made together with it.
    pub fn merged(&self) -> MergedChange<C> {
        self.merged_where(|_| true)
    }

    /// As `merged`, without others' changes that do not `hold` any more: who registered those makes them, or
    /// asks anew. `holds` must not register anything.
    pub fn merged_where(&self, holds: impl Fn(&C) -> bool) -> MergedChange<C> {
        let waiting = self.pending.lock();
        let mut merged = MergedChange { call: self.change.clone(), numbers: Vec::new() };
        let Some(own) = waiting.changes.get(&self.number) else { return merged };
        for (number, other) in &waiting.changes {
            let waits =
                (&other.key, other.batch) == (&own.key, own.batch) && other.outcome.get().is_none();
            if waits && (*number == self.number || holds(&other.change)) {
                merged.call.absorb(&other.change);
                merged.numbers.push(*number);
            }
        }
        merged
    }

    /// Tells the tasks that wait for these changes.
    pub fn settle(&self, merged: &MergedChange<C>, outcome: &Result<(), E>) {
        let waiting = self.pending.lock();
        for change in merged.numbers.iter().filter_map(|number| waiting.changes.get(number)) {
            // Whoever was first has told it.
            drop(change.outcome.set(outcome.clone()));
        }
    }

    /// They were refused together: each half of them is tried by itself, so that one that cannot be is
    /// found in a few calls.
    pub fn split(&self, merged: &MergedChange<C>) {
        let mut waiting = self.pending.lock();
        let half = merged.numbers.len().div_ceil(2);
        for numbers in merged.numbers.chunks(half.max(1)) {
            waiting.next += 1;
            let batch = waiting.next;
            for number in numbers {
                if let Some(change) = waiting.changes.get_mut(number) {
                    change.batch = batch;
                }
            }
        }
    }
}

impl<C: MergeableChange, E> Drop for Registration<'_, C, E> {
    fn drop(&mut self) {
        self.pending.lock().changes.remove(&self.number);
    }
}

/// Several changes as one.
#[derive(Debug)]
pub struct MergedChange<C> {
    /// All of them.
    pub call: C,
    numbers: Vec<u64>,
}

impl<C> MergedChange<C> {
    /// It is more than one.
    pub fn is_of_several(&self) -> bool {
        self.numbers.len() > 1
    }
}

impl<C: MergeableChange, E> PendingChanges<C, E> {
    /// From now on others may make this change with theirs.
    pub fn register(&self, change: &C) -> Registration<'_, C, E> {
        let outcome = Outcome::default();
        let mut waiting = self.lock();
        waiting.next += 1;
        let number = waiting.next;
        if let Some(key) = change.key() {
            let (change, outcome) = (change.clone(), outcome.clone());
            waiting.changes.insert(number, WaitingChange { key, change, batch: 0, outcome });
        }
        Registration { pending: self, change: change.clone(), number, outcome }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<C, E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Numbers for a thing; `None` is merged with nothing.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Numbers(Option<&'static str>, BTreeSet<u32>);

    impl MergeableChange for Numbers {
        fn key(&self) -> Option<String> {
            self.0.map(ToOwned::to_owned)
        }

        fn absorb(&mut self, other: &Self) {
            self.1.extend(&other.1);
        }
    }

    type Pending = PendingChanges<Numbers, &'static str>;

    fn change(of: &'static str, number: u32) -> Numbers {
        Numbers(Some(of), [number].into())
    }

    #[test]
    fn what_waits_for_one_thing_is_one_change() {
        let pending = Pending::default();
        let registered = [1, 2, 3].map(|number| pending.register(&change("a", number)));
        let other = pending.register(&change("b", 4));
        let merged = registered[0].merged();
        assert_eq!(merged.call, Numbers(Some("a"), [1, 2, 3].into()));
        assert!(registered.iter().all(|own| own.outcome().is_none()));
        registered[0].settle(&merged, &Ok(()));
        assert!(registered.iter().all(|own| own.outcome() == Some(Ok(()))));
        assert!(other.outcome().is_none() && !other.merged().is_of_several());
        drop(registered);
        assert_eq!(pending.register(&change("a", 1)).merged().call, change("a", 1), "none waits");
    }

    #[test]
    fn an_error_of_all_is_told_to_all_and_what_comes_later_is_tried_anew() {
        let pending = Pending::default();
        let registered = [1, 2].map(|number| pending.register(&change("a", number)));
        let merged = registered[0].merged();
        let late = pending.register(&change("a", 3));
        registered[0].settle(&merged, &Err("throttled"));
        assert!(registered.iter().all(|own| own.outcome() == Some(Err("throttled"))));
        assert_eq!(late.outcome(), None);
        assert_eq!(late.merged().call, change("a", 3));
    }

    #[test]
    fn what_does_not_hold_any_more_is_left_to_who_registered_it() {
        let pending = Pending::default();
        let registered = [1, 2, 3].map(|number| pending.register(&change("a", number)));
        let holds = |other: &Numbers| !other.1.contains(&2);
        let merged = registered[0].merged_where(holds);
        assert_eq!(merged.call, Numbers(Some("a"), [1, 3].into()));
        registered[0].settle(&merged, &Ok(()));
        assert_eq!(registered[1].outcome(), None);
        assert_eq!(registered[1].merged_where(holds).call, change("a", 2), "its own");
    }

    #[test]
    fn what_cannot_be_merged_is_made_by_itself() {
        let pending = Pending::default();
        let alone = Numbers(None, [1].into());
        let registered = [pending.register(&alone), pending.register(&alone)];
        assert!(!registered[0].merged().is_of_several());
        assert_eq!(registered[0].merged().call, alone);
    }

    #[test]
    fn one_that_cannot_be_is_found_in_a_few_calls() {
        let pending = Pending::default();
        let registered: Vec<_> =
            (0..50).map(|number| pending.register(&change("a", number))).collect();
        let (mut made, mut refused) = (0, 0);
        for own in registered.iter().rev() {
            while own.outcome().is_none() {
                let merged = own.merged();
                made += 1;
                if !merged.call.1.contains(&5) {
                    own.settle(&merged, &Ok(()));
                } else if merged.is_of_several() {
                    own.split(&merged);
                } else {
                    refused += 1;
                    break;
                }
            }
        }
        assert_eq!(refused, 1);
        assert!(made <= 13, "{made} calls for 50 changes");
    }
}
