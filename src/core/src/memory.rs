//! What the leader remembers from one plan to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::cloud::CloudState;
use crate::membership::{departure, liveness};
use crate::model::{
    AddressPlan, ApiServerReading, EgressNodeStatus, Millis, NodeName, ProviderKind,
    ResourceVersion, Snapshot, Timestamp,
};

/// The longest that a store works on a write after nobody waits for the answer any more: the API server's
/// own limit for one request (its flag `--request-timeout`).
const LONGEST_REQUEST: Millis = Millis(60_000);

/// What the leader remembers between plans: since when nodes are absent or fit, API servers gone, and moves
/// wait.
///
/// Written by the controller alone, by [`LeaderMemory::observe`] with every snapshot and
/// [`LeaderMemory::note_awaited`] with every plan. Lost with the process: a new leader counts the 5
/// minutes of absence and of health, the 10 of an API server, and the minute of a drain, anew, which delays a
/// replacement or a move and never hastens one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderMemory {
    /// Nodes that are absent (a majority of the voters says so, or their Node is gone), since.
    pub absent_since: BTreeMap<NodeName, Timestamp>,
    /// Nodes that are present and fit, since: not drained, not leaving (a taint that comes and goes
    /// ends it), and none of their network interfaces unusable that an address needs.
    pub fit_since: BTreeMap<NodeName, Timestamp>,
    /// Addresses that must leave an owner for a gateway that is not ready ([`Plan::timed`]), since.
    ///
    /// [`Plan::timed`]: crate::planner::Plan::timed
    pub awaited_since: BTreeMap<IpAddr, Timestamp>,
    /// Addresses of API servers that the cluster object names and that are not there now, since. Of what
    /// cannot be read nothing is remembered.
    pub api_servers_gone_since: BTreeMap<IpAddr, Timestamp>,
    /// The write of an `EgressNode` whose outcome is not known. Its numbers come before all others.
    pub unsure_of: Option<UnsureWrite>,
    /// What is known of each cloud; put here by the caller as it changes.
    pub clouds: BTreeMap<ProviderKind, CloudState>,
}

/// A write that failed in a way that leaves open whether it is still taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsureWrite {
    /// Whose `EgressNode` it was.
    pub node: NodeName,
    /// The version that it has to find.
    pub expect: Option<ResourceVersion>,
    /// When it failed.
    pub since: Timestamp,
}

impl UnsureWrite {
    /// Whether it may still be taken, where the object is at `version` now. A write that changes nothing
    /// leaves the version alone in Kubernetes, so there time alone may end it.
    pub fn may_land(&self, version: &ResourceVersion, now: Timestamp) -> bool {
        self.expect.as_ref().is_none_or(|expected| expected == version) && now < self.ends_at()
    }

    /// From then on it is not taken any more.
    pub fn ends_at(&self) -> Timestamp {
        self.since + LONGEST_REQUEST
    }
}

impl LeaderMemory {
    /// Forgets [`Self::unsure_of`] where it cannot be taken any more. `snapshot` must have been read after it
    /// failed: a watch may be behind.
    pub fn settle_unsure(&mut self, snapshot: &Snapshot, now: Timestamp) {
        self.unsure_of.take_if(|unsure| {
            let stored = snapshot.egress_nodes.get(&unsure.node);
            !stored.is_some_and(|stored| unsure.may_land(&stored.version, now))
        });
    }

    /// Takes note of who is absent and who is fit in `snapshot`. Idempotent for one snapshot and time.
    pub fn observe(&mut self, snapshot: &Snapshot, now: Timestamp) {
        let absent = liveness::absent(snapshot);
        let known = liveness::known(snapshot);
        let fit =
            known.into_iter().filter(|node| !absent.contains(*node) && is_fit(snapshot, node));
        let fit: BTreeSet<&NodeName> = fit.collect();
        self.absent_since.retain(|node, _| absent.contains(node));
        self.fit_since.retain(|node, _| fit.contains(node));
        for node in fit {
            self.fit_since.entry(node.clone()).or_insert(now);
        }
        for node in absent {
            self.absent_since.entry(node).or_insert(now);
        }
        let gone = api_servers_gone(snapshot);
        self.api_servers_gone_since.retain(|address, _| gone.contains(address));
        for address in gone {
            self.api_servers_gone_since.entry(address).or_insert(now);
        }
    }

    /// Takes note of the moves that a plan puts off for a limited time, or no longer
    /// ([`Plan::timed`]). A wait is forgotten when what was read shows that it is over, not when a plan
    /// ends it: that plan may be made again, or its write refused.
    ///
    /// [`Plan::timed`]: crate::planner::Plan::timed
    pub fn note_awaited(&mut self, timed: &BTreeSet<IpAddr>, now: Timestamp) {
        self.awaited_since.retain(|address, _| timed.contains(address));
        for address in timed {
            self.awaited_since.entry(*address).or_insert(now);
        }
    }

    /// Whether the planned move of `address` has waited for `length` at least.
    pub fn awaited_for(&self, address: IpAddr, length: Millis, now: Timestamp) -> bool {
        self.awaited_since.get(&address).is_some_and(|since| now.since(*since) >= length)
    }

    /// What is known of the cloud that an address is in.
    pub fn cloud_of(&self, plan: &AddressPlan) -> Option<&CloudState> {
        self.clouds.get(&plan.provider)
    }

    /// Whether `node` has been absent for `length` at least.
    pub fn absent_for(&self, node: &NodeName, length: Millis, now: Timestamp) -> bool {
        self.absent_since.get(node).is_some_and(|since| now.since(*since) >= length)
    }

    /// Whether `node` has been present and fit for `length` at least.
    pub fn fit_for(&self, node: &NodeName, length: Millis, now: Timestamp) -> bool {
        self.fit_since.get(node).is_some_and(|since| now.since(*since) >= length)
    }
}

fn api_servers_gone(snapshot: &Snapshot) -> BTreeSet<IpAddr> {
    match (&snapshot.discovered.api_servers, &snapshot.cluster) {
        (ApiServerReading::Read(there), Some(cluster)) => {
            cluster.value.ranges.api_servers.difference(there).copied().collect()
        }
        _ => BTreeSet::new(),
    }
}

fn is_fit(snapshot: &Snapshot, node: &NodeName) -> bool {
    let status = snapshot.egress_nodes.get(node).map(|stored| &stored.value.status);
    !departure::drained(snapshot, node)
        && status.is_none_or(|status| !lacks_interface(snapshot, status))
}

/// Whether an interface is unusable that carries addresses, or would. In a cloud each may be one.
fn lacks_interface(snapshot: &Snapshot, status: &EgressNodeStatus) -> bool {
    if !status.lacks_interface() {
        return false;
    }
    let mut plans = snapshot.addresses.values().map(|stored| &stored.value.plan);
    let mut addresses = snapshot.addresses.keys();
    plans.any(|plan| plan.facts().cloud_places())
        || addresses.any(|address| status.cut_off_from(*address).is_some())
}
