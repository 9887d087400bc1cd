//! What the leader should write now: `plan(snapshot, memory, settings, now)` → actions.
//!
//! State: none; what the leader remembers is a [`Memory`] that the caller keeps.
//!
//! Always (held by property tests):
//! - a plan is made of what is read, never of what an earlier plan wanted: after any prefix of it,
//!   planning again finishes the work. After all of it the next plan is empty, but for what waited
//!   for something that this one has freed, and for what follows from a new set of voters (by whose
//!   word nodes are absent);
//! - no address has two claims and no port of an address two grants, after any *subset* of a
//!   plan's actions: what a plan frees, only a later one gives out;
//! - the order of the input does not matter.
//!
//! How to carry it out: draw [`Plan::numbers`] from the fence counter, [`Plan::fill`], then write
//! in order. Address plans come first and may go in parallel. Node specs must be written one after
//! the other, in order, and the first failure ends the turn: a gateway acknowledges "every number
//! up to this one", so a smaller number must not appear after a greater one. Statuses come last and
//! fail by themselves.

mod action;
mod addresses;
mod apply;
mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::binding::bind;
use crate::blocks::{self, SpecDraft, Waiting};
use ipnet::IpNet;

use crate::model::{
    AddressPlan, AddressStatus, Cluster, EgressAddress, EgressNodeSpec, NodeName, Role, Snapshot,
    Stored, Timestamp,
};
use crate::presence;
use crate::ranges;
use crate::status::{self, View};
use crate::voters::{self, SetChange};

use addresses::Addresses;

pub use action::{Action, BlockDraw, BlockField, Note, about_claim};
pub use addresses::is_acknowledged;
pub use apply::apply;
pub use memory::{Memory, Settings};

/// What to write, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The writes, in order.
    pub actions: Vec<Action>,
    /// How many numbers to draw from the cluster's fence counter before [`Plan::fill`].
    pub numbers: u64,
    /// When time alone will change the plan (a release ends, a quarantine is over): plan again
    /// then, even if nothing was written by others.
    pub wake_at: Option<Timestamp>,
    /// Ports that cannot rest, and so cannot be given out, before a gateway acknowledges.
    pub waiting: Vec<Waiting>,
    /// Nodes that need ports of an address that has none left.
    pub short_of_ports: BTreeSet<(NodeName, IpAddr)>,
}

impl Plan {
    /// The actions with the drawn numbers `first .. first + self.numbers` put in.
    ///
    /// `first` is at least 1: 0 stands for "not drawn".
    pub fn fill(self, first: u64) -> Vec<Action> {
        let mut actions = self.actions;
        for action in &mut actions {
            action.fill(first);
        }
        actions
    }
}

/// What the leader should write now.
pub fn plan(snapshot: &Snapshot, memory: &Memory, settings: &Settings, now: Timestamp) -> Plan {
    if snapshot.cluster.as_ref().is_some_and(|cluster| cluster.value.uninstalling) {
        // Nothing but what the clouds have given back.
        let actions = address_statuses(snapshot, status::where_clouds_are(snapshot, memory));
        return Plan { actions: actions.collect(), ..Plan::default() };
    }
    let mut wake_at: Option<Timestamp> = None;
    let mut wake = |at: Timestamp| {
        if at > now {
            wake_at = Some(wake_at.map_or(at, |before| before.min(at)));
        }
    };
    let mut numbers = 0;
    let cluster = cluster(snapshot, memory, settings, now, &mut wake);
    let bindings = bind(snapshot, &cluster.0.ranges);
    let t_max = cluster.0.t_max;
    let mut addresses = Addresses::draft(snapshot, memory, now, t_max, &bindings, &mut wake);
    let mut actions = addresses.actions(snapshot, &mut numbers);
    actions.extend(cluster.1);
    let mut drafts: BTreeMap<NodeName, SpecDraft> = snapshot
        .egress_nodes
        .iter()
        .map(|(name, node)| (name.clone(), SpecDraft::of(&node.value.spec)))
        .collect();
    let plans = &addresses.plans;
    let waiting = blocks::sweep(snapshot, memory, now, plans, &mut drafts, &mut wake);
    let short_of_ports = blocks::grant(snapshot, plans, &mut drafts);
    let free = addresses.free(snapshot, memory, &drafts);
    actions.extend(admissions(snapshot, settings));
    actions.extend(node_specs((snapshot, memory, now), &cluster.0, plans, drafts, &mut numbers));
    addresses.plans.retain(|address, _| !free.contains(address));
    actions.extend(addresses::deletions(snapshot, &free));
    let plans = &addresses.plans;
    let view = View { snapshot, memory, bindings: &bindings, plans, t_max, now };
    actions.extend(statuses(&view));
    wake_for_failback(memory, &addresses, &mut wake);
    Plan { actions, numbers, wake_at, waiting, short_of_ports }
}

/// The cluster object as it should be, and its write where it is not.
fn cluster(
    snapshot: &Snapshot,
    memory: &Memory,
    settings: &Settings,
    now: Timestamp,
    wake: &mut dyn FnMut(Timestamp),
) -> (Cluster, Option<Action>) {
    let stored = snapshot.cluster.as_ref();
    let mut cluster = match stored {
        Some(stored) => stored.value.clone(),
        None => Cluster {
            id: settings.cluster_id.clone(),
            set: None,
            t_max: settings.t_max,
            ranges: Default::default(),
            uninstalling: false,
        },
    };
    cluster.ranges = ranges::desired(snapshot, settings);
    let mut notes = Vec::new();
    if let Some((set, change)) = voters::next_set(snapshot, memory, now) {
        notes.push(Note::normal("EgressCluster", "Voters", voters_message(set.number, &change)));
        cluster.set = Some(set);
    }
    for member in cluster.set.iter().flat_map(|set| &set.members) {
        if let Some(since) = memory.absent_since.get(&member.node) {
            wake(*since + voters::REPLACE_AFTER);
        }
    }
    if stored.is_some_and(|stored| stored.value == cluster) {
        return (cluster, None);
    }
    let expect = stored.map(|stored| stored.version.clone());
    let action = Action::Cluster { expect, cluster: cluster.clone(), notes };
    (cluster, Some(action))
}

fn voters_message(number: u64, change: &SetChange) -> String {
    match change {
        SetChange::First(node) => format!("set {number}: {node} is the first voter"),
        SetChange::Added(node) => format!("set {number}: {node} votes"),
        SetChange::Removed(node, why) => format!("set {number}: {node} votes no longer: {why}"),
        SetChange::Updated(node) => {
            format!("set {number}: {node} votes from another address or with another key")
        }
    }
}

/// The writes of specs that differ. Numbers ascend with the order of the writes.
fn node_specs(
    view: (&Snapshot, &Memory, Timestamp),
    cluster: &Cluster,
    plans: &BTreeMap<IpAddr, AddressPlan>,
    drafts: BTreeMap<NodeName, SpecDraft>,
    next: &mut u64,
) -> Vec<Action> {
    let (snapshot, memory, now) = view;
    let mut actions = Vec::new();
    for (node, draft) in drafts {
        let Some(stored) = snapshot.egress_nodes.get(&node) else { continue };
        let before = &stored.value.spec;
        let (blocks, draws) = draft.finish(next);
        let expect = Some(stored.version.clone());
        let gone = !snapshot.nodes.contains_key(&node)
            && memory.absent_for(&node, blocks::END_AFTER, now)
            && !votes(cluster, &node);
        if (gone || stored.value.deleting) && blocks.is_empty() && before.blocks.is_empty() {
            actions.push(Action::DeleteNode { node, expect });
            continue;
        }
        let spec = EgressNodeSpec {
            blocks,
            drain: before.drain,
            roles: roles(snapshot, cluster, plans, &node),
            pod_cidrs: pod_cidrs(snapshot, &node),
        };
        if !draws.is_empty() || spec != *before {
            actions.push(Action::NodeSpec { node, expect, spec, draws, notes: Vec::new() });
        }
    }
    actions
}

/// Nodes whose agent is ready and that pods are kept off until it is.
fn admissions(snapshot: &Snapshot, settings: &Settings) -> Vec<Action> {
    // A dead agent's status still says that it was ready.
    let absent = presence::absent(snapshot);
    let ready = |node: &&NodeName| {
        if absent.contains(*node) {
            return false;
        }
        let stored = snapshot.egress_nodes.get(*node);
        let mut conditions = stored.iter().flat_map(|stored| &stored.value.status.conditions);
        conditions.any(|condition| condition.kind == "Ready" && condition.status)
    };
    let waiting =
        snapshot.nodes.values().filter(|node| settings.startup_taint && node.awaits_agent);
    waiting
        .map(|node| &node.name)
        .filter(ready)
        .map(|node| Action::AdmitPods { node: node.clone() })
        .collect()
}

fn votes(cluster: &Cluster, node: &NodeName) -> bool {
    cluster.set.iter().flat_map(|set| &set.members).any(|voter| voter.node == *node)
}

/// Why every agent must know `node`. A node that some plan names stays known to all, whatever its
/// labels say now.
fn roles(
    snapshot: &Snapshot,
    cluster: &Cluster,
    plans: &BTreeMap<IpAddr, AddressPlan>,
    node: &NodeName,
) -> BTreeSet<Role> {
    let selects = |labels| {
        let mut pools = snapshot.pools.values();
        pools.any(|stored| stored.value.0.gateways.matches(labels))
    };
    let planned =
        |plan: &AddressPlan| plan.owner.as_ref() == Some(node) || plan.standbys.contains(node);
    let holds = |stored: &Stored<EgressAddress>| {
        let status = &stored.value.status;
        let holds = status.holding.as_ref().is_some_and(|holding| holding.node == *node);
        holds || status.is_attached_to(node)
    };
    let gateway = snapshot.nodes.get(node).is_some_and(|node| selects(&node.labels))
        || plans.values().any(planned)
        || snapshot.addresses.values().any(holds);
    let roles = [(gateway, Role::Gateway), (votes(cluster, node), Role::Voter)];
    roles.into_iter().filter_map(|(has, role)| has.then_some(role)).collect()
}

fn pod_cidrs(snapshot: &Snapshot, node: &NodeName) -> BTreeSet<IpNet> {
    let node = snapshot.nodes.get(node);
    node.into_iter().flat_map(|node| &node.pod_cidrs).map(IpNet::trunc).collect()
}

fn statuses(view: &View<'_>) -> Vec<Action> {
    let addresses = address_statuses(view.snapshot, status::address_statuses(view));
    let pools = status::pool_statuses(view);
    let pools = pools.into_iter().map(|(pool, status)| Action::PoolStatus { pool, status });
    let claims = status::claim_statuses(view);
    let claims = claims.into_iter().map(|(claim, status)| Action::ClaimStatus { claim, status });
    addresses.chain(pools).chain(claims).collect()
}

fn address_statuses(
    snapshot: &Snapshot,
    statuses: BTreeMap<IpAddr, AddressStatus>,
) -> impl Iterator<Item = Action> {
    statuses.into_iter().map(|(address, status)| {
        let stored = snapshot.addresses.get(&address);
        let expect = stored.map(|stored| stored.version.clone());
        Action::AddressStatus { address, expect, status }
    })
}

/// An address that waits to go back does so when its home has been there long enough.
fn wake_for_failback(memory: &Memory, addresses: &Addresses, wake: &mut dyn FnMut(Timestamp)) {
    for plan in addresses.plans.values() {
        let since = plan.home.as_ref().and_then(|home| memory.present_since.get(home));
        if let Some(since) = since {
            wake(*since + crate::placement::FAILBACK_AFTER);
        }
    }
}

#[cfg(test)]
mod tests;
