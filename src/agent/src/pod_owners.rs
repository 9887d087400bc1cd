//! Which pod has which address of this node.
//!
//! State: the owner of each address, kept over restarts of the agent: a pod that ended meanwhile is
//! noticed. Written by the main loop. Always: an address is the pod's to which the CNI gave it last,
//! and the API's order of things is no part of that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use egret_core::cidr::{contains_net, subtract_nets};
use egret_core::model::{Family, NodeName, Pod, Snapshot};
use egret_core::node_config::{PodIdentity, address_winner};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A pod that has an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodOwner {
    pod: PodIdentity,
    /// The CNI said so, while this node's agent listened.
    added: bool,
    /// This process has seen the pod in a snapshot.
    #[serde(skip)]
    shown: bool,
}

/// The owners, by address or range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PodOwners {
    by_source: BTreeMap<IpNet, PodOwner>,
}

/// What has become of addresses, and who shares one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnerChanges {
    /// Their pod has ended, and nobody has them, nor a part of them.
    pub(crate) ended: BTreeSet<IpNet>,
    /// Another pod has them, of which the CNI has not told.
    pub(crate) passed_on: BTreeSet<IpNet>,
    /// Addresses that several pods show, with the pod that has it and those that have not.
    pub(crate) shared: BTreeMap<IpNet, SharedAddress>,
}

/// The winner and the losers of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedAddress {
    pub(crate) winner: PodIdentity,
    pub(crate) losers: Vec<PodIdentity>,
}

impl PodOwners {
    /// Whether nobody has an address.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_source.is_empty()
    }

    /// The addresses and ranges that have the same pod as in `former`.
    pub(crate) fn unchanged_since(&self, former: &Self) -> BTreeSet<IpNet> {
        let same = |(source, owner): &(&IpNet, &PodOwner)| {
            former.by_source.get(source).is_some_and(|before| before.pod == owner.pod)
        };
        self.by_source.iter().filter(same).map(|(source, _)| *source).collect()
    }

    /// The CNI has given the addresses to this pod.
    pub(crate) fn add(&mut self, pod: &PodIdentity, addresses: &BTreeSet<IpNet>) {
        for address in addresses {
            let owner = PodOwner { pod: pod.clone(), added: true, shown: false };
            self.by_source.insert(*address, owner);
        }
    }

    /// Settles who has what, by the pods that `known` shows and what the CNI has said. `awaited` are
    /// addresses that it has given to pods which are not shown yet. `young`: an earlier process may have
    /// heard the CNI give addresses to such pods. In the snapshot that comes back an address is with
    /// its owner alone.
    pub(crate) fn settle(
        &mut self,
        known: Arc<Snapshot>,
        me: &NodeName,
        awaited: &BTreeSet<IpNet>,
        young: bool,
    ) -> (Arc<Snapshot>, OwnerChanges) {
        let mut changes = OwnerChanges::default();
        let mut next = BTreeMap::new();
        for (source, pods) in showing(&known, me) {
            let before = self.by_source.get(&source);
            let added = before.filter(|owner| owner.added).map(|owner| &owner.pod);
            let Some(winner) = address_winner(pods.iter().copied(), added) else { continue };
            if before.is_some_and(|owner| !owner.pod.is(winner)) {
                changes.passed_on.insert(source);
            }
            let added = added.is_some_and(|pod| pod.is(winner));
            next.insert(source, PodOwner { pod: PodIdentity::of(winner), added, shown: true });
            let losers = pods.iter().copied().filter(|pod| !std::ptr::eq(*pod, winner));
            let losers: Vec<PodIdentity> = losers.map(PodIdentity::of).collect();
            if !losers.is_empty() {
                let winner = PodIdentity::of(winner);
                changes.shared.insert(source, SharedAddress { winner, losers });
            }
        }
        let former = std::mem::take(&mut self.by_source);
        let mut ended = BTreeMap::new();
        for (source, owner) in &former {
            if next.contains_key(source) {
                continue;
            }
            let mut owner = owner.clone();
            let goes_on = owner.goes_on(*source, &known, me, young);
            if owner.added && (awaited.contains(source) || goes_on) {
                next.insert(*source, owner);
            } else {
                ended.insert(*source, owner.pod);
            }
        }
        let newcomers = next.iter().filter(|(source, _)| !former.contains_key(source));
        changes
            .passed_on
            .extend(newcomers.flat_map(|(source, owner)| owner.parts_of(*source, &ended)));
        changes.ended = without(ended.into_keys().collect(), next.keys());
        self.by_source = next;
        (without_losers(known, &changes.shared), changes)
    }
}

impl PodOwner {
    /// What of `source`, which was nobody's own until now, other pods had that have ended, as a part of
    /// theirs or the whole. What the CNI has told of was seen to at its ADD.
    fn parts_of(&self, source: IpNet, ended: &BTreeMap<IpNet, PodIdentity>) -> Vec<IpNet> {
        let others = ended.iter().filter(|(_, pod)| !self.added && **pod != self.pod);
        let common = others.filter_map(|(other, _)| match () {
            () if contains_net(*other, source) => Some(source),
            () => contains_net(source, *other).then_some(*other),
        });
        common.collect()
    }

    /// Whether its pod may still have the address, though no snapshot shows it: an agent that has just
    /// begun sees pods whose addresses only the process before it has heard of.
    fn goes_on(&mut self, source: IpNet, known: &Snapshot, me: &NodeName, young: bool) -> bool {
        let key = (self.pod.namespace.clone(), self.pod.name.clone());
        let Some(pod) = known.pods.get(&key).filter(|pod| self.pod.is(pod)) else {
            return young && !self.shown;
        };
        self.shown = true;
        // A range is the pod's by its annotation, whatever address it has.
        let family = Family::of(source.addr());
        let is_own = |net: &IpNet| {
            Family::of(net.addr()) == family && net.prefix_len() == net.max_prefix_len()
        };
        pod.node == *me && !pod.host_network && !pod.sources.iter().any(is_own)
    }
}

/// These without the others, each by itself: a host stays one.
pub(crate) fn without<'a>(
    nets: BTreeSet<IpNet>,
    others: impl Iterator<Item = &'a IpNet> + Clone,
) -> BTreeSet<IpNet> {
    let parts = nets.into_iter().flat_map(|net| {
        let overlap = |other: &&IpNet| contains_net(net, **other) || contains_net(**other, net);
        subtract_nets([net], others.clone().filter(overlap).copied())
    });
    parts.collect()
}

/// The pods of `me` that show each address or range.
fn showing<'a>(known: &'a Snapshot, me: &NodeName) -> BTreeMap<IpNet, Vec<&'a Pod>> {
    let mut showing: BTreeMap<IpNet, Vec<&Pod>> = BTreeMap::new();
    // A pod on its node's network has the node's own addresses.
    for pod in known.pods.values().filter(|pod| pod.node == *me && !pod.host_network) {
        for source in &pod.sources {
            showing.entry(source.trunc()).or_default().push(pod);
        }
    }
    showing
}

fn without_losers(known: Arc<Snapshot>, shared: &BTreeMap<IpNet, SharedAddress>) -> Arc<Snapshot> {
    if shared.is_empty() {
        return known;
    }
    let mut snapshot = Snapshot::clone(&known);
    for (source, SharedAddress { losers, .. }) in shared {
        for loser in losers {
            let key = (loser.namespace.clone(), loser.name.clone());
            if let Some(pod) = snapshot.pods.get_mut(&key) {
                pod.sources.retain(|own| own.trunc() != *source);
            }
        }
    }
    Arc::new(snapshot)
}

#[cfg(test)]
mod tests;
