use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::fabric::Fabric;
use crate::model::{AddressPlan, Millis, NodeName, ProviderKind, Snapshot, Timestamp};
use crate::presence;

/// What the leader remembers between plans: since when nodes are absent or back.
///
/// Written by the controller alone, by [`Memory::observe`] with every snapshot. Lost with the
/// process: a new leader counts the 5 minutes of absence and of health anew, which delays a
/// replacement and never hastens one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Nodes that are absent (a majority of the voters says so, or their Node is gone), since.
    pub absent_since: BTreeMap<NodeName, Timestamp>,
    /// Nodes that are present, since.
    pub present_since: BTreeMap<NodeName, Timestamp>,
    /// What is known of each cloud; put here by the caller as it changes.
    pub fabrics: BTreeMap<ProviderKind, Fabric>,
}

impl Memory {
    /// Takes note of who is absent in `snapshot`. Idempotent for one snapshot and time.
    pub fn observe(&mut self, snapshot: &Snapshot, now: Timestamp) {
        let absent = presence::absent(snapshot);
        let known: BTreeSet<&NodeName> = presence::known(snapshot);
        self.absent_since.retain(|node, _| absent.contains(node));
        self.present_since.retain(|node, _| known.contains(node) && !absent.contains(node));
        for node in absent {
            self.absent_since.entry(node).or_insert(now);
        }
        for node in known {
            if !self.absent_since.contains_key(node) {
                self.present_since.entry(node.clone()).or_insert(now);
            }
        }
    }

    /// What is known of the cloud that an address is in.
    pub fn fabric_of(&self, plan: &AddressPlan) -> Option<&Fabric> {
        self.fabrics.get(&plan.provider)
    }

    /// Whether `node` has been absent for `length` at least.
    pub fn absent_for(&self, node: &NodeName, length: Millis, now: Timestamp) -> bool {
        self.absent_since.get(node).is_some_and(|since| now.since(*since) >= length)
    }

    /// Whether `node` has been present for `length` at least.
    pub fn present_for(&self, node: &NodeName, length: Millis, now: Timestamp) -> bool {
        self.present_since.get(node).is_some_and(|since| now.since(*since) >= length)
    }
}

/// The controller's settings that no object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The id for the cluster object, where it has to be made: random, from the caller.
    pub cluster_id: String,
    /// T_max for the cluster object, where it has to be made.
    pub t_max: Millis,
    /// Pod ranges; where there are any, none is looked for elsewhere.
    pub pods: BTreeSet<IpNet>,
    /// Service ranges.
    pub services: BTreeSet<IpNet>,
    /// Nodes lose [`crate::model::STARTUP_TAINT`] when their agents are ready.
    pub startup_taint: bool,
}

impl Settings {
    /// Settings of a cluster without further ranges and with T_max = 10 s.
    pub fn new(cluster_id: impl Into<String>) -> Self {
        Self {
            cluster_id: cluster_id.into(),
            t_max: Millis::from_secs(10),
            pods: BTreeSet::new(),
            services: BTreeSet::new(),
            startup_taint: false,
        }
    }
}
