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
    changes: BTreeMap<u64, (AliasChange, Arc<AtomicBool>)>,
}

/// A change that waits; it waits no more once this is dropped.
#[derive(Debug)]
pub(crate) struct Registration<'a> {
    pending: &'a PendingAliases,
    number: Option<u64>,
    made: Arc<AtomicBool>,
}

impl Registration<'_> {
    /// Another task has made it.
    pub fn is_made(&self) -> bool {
        self.made.load(Ordering::Acquire)
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.pending.lock().changes.remove(&number);
        }
    }
}

/// Several changes as one.
#[derive(Debug)]
pub(crate) struct MergedChange {
    pub call: GceCall,
    made: Vec<Arc<AtomicBool>>,
}

impl MergedChange {
    /// Tells the tasks that wait.
    pub fn succeeded(&self) {
        for made in &self.made {
            made.store(true, Ordering::Release);
        }
    }
}

impl PendingAliases {
    /// Calls of other kinds are merged with nothing.
    pub fn register(&self, call: &GceCall) -> Registration<'_> {
        let made = Arc::new(AtomicBool::new(false));
        let mut number = None;
        if let GceCall::ChangeAliases(change) = call {
            let mut waiting = self.lock();
            waiting.next += 1;
            number = Some(waiting.next);
            let next = waiting.next;
            waiting.changes.insert(next, (change.clone(), made.clone()));
        }
        Registration { pending: self, number, made }
    }

    /// The call with all that waits for the same interface.
    pub fn merged(&self, call: &GceCall) -> MergedChange {
        let GceCall::ChangeAliases(change) = call else {
            return MergedChange { call: call.clone(), made: Vec::new() };
        };
        let (mut change, mut all) = (change.clone(), Vec::new());
        let waiting = self.lock();
        let same = waiting.changes.values().filter(|(it, _)| it.instance == change.instance);
        for (other, made) in same.cloned().collect::<Vec<_>>() {
            change.add.extend(other.add);
            change.remove.extend(other.remove);
            all.push(made);
        }
        MergedChange { call: GceCall::ChangeAliases(change), made: all }
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
        let merged = pending.merged(&one);
        assert_eq!(merged.call, change("a", "10.0.0.7 10.0.0.8", "10.0.0.9"));
        assert!(!registered.iter().any(Registration::is_made));
        merged.succeeded();
        assert!(registered.iter().all(Registration::is_made));
        assert!(!other.is_made());
        drop(registered);
        assert_eq!(pending.merged(&one).call, one, "nothing waits any more");
    }
}
