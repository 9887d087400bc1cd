//! Changes of the alias ranges of one interface that wait for each other become one: a gateway that takes
//! over fifty addresses needs one call, not fifty that each end the others' fingerprint.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::step::{AliasChange, GceCall};

/// What tasks wait to change.
#[derive(Debug, Default)]
pub(crate) struct PendingAliases(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    changes: BTreeMap<u64, WaitingChange>,
}

#[derive(Debug)]
struct WaitingChange {
    change: AliasChange,
    /// Changes of one batch are made together.
    batch: u64,
    made: Arc<AtomicBool>,
}

/// A change that waits; it waits no more once this is dropped.
#[derive(Debug)]
pub(crate) struct Registration<'a> {
    pending: &'a PendingAliases,
    call: GceCall,
    number: u64,
    made: Arc<AtomicBool>,
}

impl Registration<'_> {
    /// Another task has made it.
    pub fn is_made(&self) -> bool {
        self.made.load(Ordering::Acquire)
    }

    /// The call with all of its batch that waits for the same interface.
    pub fn merged(&self) -> MergedChange {
        let GceCall::ChangeAliases(change) = &self.call else {
            return MergedChange { call: self.call.clone(), numbers: Vec::new() };
        };
        let waiting = self.pending.lock();
        let batch = waiting.changes.get(&self.number).map(|own| own.batch);
        let (mut change, mut numbers) = (change.clone(), Vec::new());
        for (number, other) in &waiting.changes {
            if other.change.instance == change.instance && Some(other.batch) == batch {
                change.add.extend(other.change.add.iter().cloned());
                change.remove.extend(other.change.remove.iter().cloned());
                numbers.push(*number);
            }
        }
        MergedChange { call: GceCall::ChangeAliases(change), numbers }
    }

    /// Tells the tasks that wait for these changes.
    pub fn succeeded(&self, merged: &MergedChange) {
        let waiting = self.pending.lock();
        for change in merged.numbers.iter().filter_map(|number| waiting.changes.get(number)) {
            change.made.store(true, Ordering::Release);
        }
    }

    /// They were refused together: each half of them is tried by itself, so that one that cannot be is
    /// found in a few calls.
    pub fn refused(&self, merged: &MergedChange) {
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

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.pending.lock().changes.remove(&self.number);
    }
}

/// Several changes as one.
#[derive(Debug)]
pub(crate) struct MergedChange {
    pub call: GceCall,
    numbers: Vec<u64>,
}

impl MergedChange {
    /// It is more than one.
    pub fn is_of_several(&self) -> bool {
        self.numbers.len() > 1
    }
}

impl PendingAliases {
    /// Calls of other kinds are merged with nothing.
    pub fn register(&self, call: &GceCall) -> Registration<'_> {
        let made = Arc::new(AtomicBool::new(false));
        let mut waiting = self.lock();
        waiting.next += 1;
        let number = waiting.next;
        if let GceCall::ChangeAliases(change) = call {
            let change = WaitingChange { change: change.clone(), batch: 0, made: made.clone() };
            waiting.changes.insert(number, change);
        }
        Registration { pending: self, call: call.clone(), number, made }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::names::ResourcePath;
    use crate::snapshot::AliasRange;

    fn change(instance: &str, add: &str, remove: &str) -> GceCall {
        let ranges = |text: &str| -> BTreeSet<AliasRange> {
            let addresses = text.split_whitespace().map(|address| address.parse().unwrap());
            addresses.map(|address| AliasRange::single(address, None)).collect()
        };
        let instance = ResourcePath::new(&format!("projects/p/zones/z/instances/{instance}"));
        GceCall::ChangeAliases(AliasChange { instance, add: ranges(add), remove: ranges(remove) })
    }

    #[test]
    fn what_waits_for_one_interface_is_one_change() {
        let pending = PendingAliases::default();
        let one = change("a", "10.0.0.7", "");
        let registered = [
            pending.register(&one),
            pending.register(&change("a", "10.0.0.8", "")),
            pending.register(&change("a", "", "10.0.0.9")),
        ];
        let other = pending.register(&change("b", "10.0.0.10", ""));
        let merged = registered[0].merged();
        assert_eq!(merged.call, change("a", "10.0.0.7 10.0.0.8", "10.0.0.9"));
        assert!(!registered.iter().any(Registration::is_made));
        registered[0].succeeded(&merged);
        assert!(registered.iter().all(Registration::is_made));
        assert!(!other.is_made() && !other.merged().is_of_several());
        drop(registered);
        assert_eq!(pending.register(&one).merged().call, one, "nothing waits any more");
    }

    #[test]
    fn one_that_cannot_be_is_found_in_a_few_calls() {
        let pending = PendingAliases::default();
        let bad = "10.0.0.105";
        let calls: Vec<GceCall> =
            (100..150).map(|last| change("a", &format!("10.0.0.{last}"), "")).collect();
        let registered: Vec<_> = calls.iter().map(|call| pending.register(call)).collect();
        let (mut made, mut refused) = (0, 0);
        for own in registered.iter().rev() {
            while !own.is_made() {
                let merged = own.merged();
                let text = format!("{:?}", merged.call);
                made += 1;
                if !text.contains(&format!("{bad}/")) {
                    own.succeeded(&merged);
                } else if merged.is_of_several() {
                    own.refused(&merged);
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
