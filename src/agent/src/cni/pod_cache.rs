//! Addresses that pods have by word of the CNI, before the API shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use egret_cni::PodAdded;
use egret_core::model::{NamespaceName, NodeName, Pod, Snapshot};
use ipnet::IpNet;

/// A pod by namespace and name.
pub(crate) type PodKey = (NamespaceName, String);

/// How long a pod is waited for that the watch does not show.
pub(super) const UNSEEN: Duration = Duration::from_secs(60);

/// What the CNI has said, newest last. Written by the main loop.
#[derive(Debug, Default)]
pub(crate) struct PodCache {
    entries: BTreeMap<PodKey, CachedPod>,
}

#[derive(Debug)]
struct CachedPod {
    addresses: BTreeSet<IpNet>,
    since: Instant,
    /// What the watch showed of the pod first; `None` while it does not show it.
    before: Option<BTreeSet<IpNet>>,
    /// Who the watch showed with one of the addresses when the CNI gave it: it had it earlier.
    earlier: BTreeSet<PodKey>,
}

impl PodCache {
    /// Takes what the CNI says. An address that another pod had goes over to this one.
    pub(crate) fn add(&mut self, added: PodAdded, watched: Option<&Snapshot>, now: Instant) {
        let addresses: BTreeSet<IpNet> = added.ips.into_iter().map(IpNet::from).collect();
        let key = (NamespaceName::new(added.namespace), added.name);
        for entry in self.entries.values_mut() {
            entry.addresses.retain(|address| !addresses.contains(address));
        }
        let pods = || watched.into_iter().flat_map(|snapshot| &snapshot.pods);
        let before = pods().find(|(other, _)| **other == key).map(|(_, pod)| pod.sources.clone());
        let earlier = pods()
            .filter(|(other, pod)| **other != key && !pod.sources.is_disjoint(&addresses))
            .map(|(other, _)| other.clone())
            .collect();
        self.entries.insert(key, CachedPod { addresses, since: now, before, earlier });
    }

    /// The addresses that it has for pods.
    pub(crate) fn addresses(&self) -> BTreeSet<IpNet> {
        self.entries.values().flat_map(|entry| entry.addresses.iter().copied()).collect()
    }

    /// The watched snapshot with the addresses that it lacks; ends the entries that it has caught
    /// up with, whose pod is gone, or that no pod has come for in time.
    pub(crate) fn merge(
        &mut self,
        watched: &Arc<Snapshot>,
        me: &NodeName,
        now: Instant,
    ) -> Arc<Snapshot> {
        for (key, entry) in &mut self.entries {
            entry.look_at_others(key, &watched.pods);
        }
        self.entries.retain(|key, entry| entry.goes_on(watched.pods.get(key), me, now));
        if self.entries.is_empty() {
            return watched.clone();
        }
        let mut merged = Snapshot::clone(watched);
        for (key, entry) in &self.entries {
            for other in &entry.earlier {
                if let Some(pod) = merged.pods.get_mut(other) {
                    pod.sources.retain(|source| !entry.addresses.contains(source));
                }
            }
            if let Some(pod) = merged.pods.get_mut(key) {
                pod.sources.extend(&entry.addresses);
            }
        }
        Arc::new(merged)
    }
}

impl CachedPod {
    /// Whoever shows up with an address after the CNI has given it to this pod has it from a later
    /// ADD that was not heard: it is no longer this pod's.
    fn look_at_others(&mut self, key: &PodKey, pods: &BTreeMap<PodKey, Pod>) {
        let Self { addresses, earlier, .. } = self;
        earlier
            .retain(|other| pods.get(other).is_some_and(|pod| !pod.sources.is_disjoint(addresses)));
        for (other, pod) in pods {
            if other != key && !pod.host_network && !earlier.contains(other) {
                addresses.retain(|address| !pod.sources.contains(address));
            }
        }
    }

    fn goes_on(&mut self, pod: Option<&Pod>, me: &NodeName, now: Instant) -> bool {
        if self.addresses.is_empty() {
            return false;
        }
        let Some(pod) = pod else {
            return self.before.is_none() && now.duration_since(self.since) < UNSEEN;
        };
        let caught_up = self.addresses.is_subset(&pod.sources)
            || self.before.as_ref().is_some_and(|before| *before != pod.sources);
        // An annotation may give a pod sources before it has an address: what is shown first counts
        // as old.
        self.before.get_or_insert_with(|| pod.sources.clone());
        !caught_up && !pod.host_network && pod.node == *me
    }
}

#[cfg(test)]
mod tests;
