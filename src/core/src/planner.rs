//! What the leader should write now: `plan(snapshot, memory, settings, now)` → writes.
//!
//! State: none; what the leader remembers is a [`LeaderMemory`] that the caller keeps.
//!
//! Always (held by property tests):
//! - a plan is made of what is read, never of what an earlier plan wanted: after any prefix of it,
//!   planning again finishes the work. After all of it the next plan is empty, but for what waited
//!   for something that this one has freed, and for what follows from a new set of voters (by whose
//!   word nodes are absent);
//! - no address has two claims and no port of an address two grants, after any *subset* of a
//!   plan's writes: what a plan frees, only a later one gives out;
//! - the order of the input does not matter.
//!
//! How to carry it out: draw [`Plan::numbers`] from the fence counter, [`Plan::fill`], then write
//! in [`stages`]. Address plans come first and may go in parallel. Node specs must be written one after
//! the other, in order, and the first whose outcome is not known ends the turn: a gateway acknowledges
//! "every number up to this one", so a smaller number must not appear after a greater one. One that was
//! refused appears never. One whose outcome is not known comes first in later turns, alone where it is refused;
//! where it needs no write any more, no number is given out as long as it may still be taken
//! ([`LeaderMemory::unsure_of`]). Statuses come last and fail by themselves.

mod address_plan;
mod apply;
pub mod manual;
mod planned_write;
mod write_order;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::holder_reach::HolderReach;
use crate::ipam::bind;
use crate::port_blocks::{self, NodeBlocksDraft, UnacknowledgedEnd};

use crate::conditions::{self, ConditionInputs};
use crate::ipam::ranges;
use crate::membership::departure;
use crate::membership::liveness;
use crate::membership::voter_set::{self, VoterSetChange};
use crate::memory::LeaderMemory;
use crate::model::{
    AddressPlan, AddressStatus, Cluster, Condition, ConditionType, ControllerSettings,
    EgressAddress, EgressNodeSpec, EventDraft, NodeName, NodeRole, ObjectRef, Snapshot, Stored,
    Timestamp, Write,
};

use crate::placement::{Balance, FAILBACK_AFTER, READY_WITHIN};
use crate::reason::{AgentReason, EventReason};
use crate::tunnel_network;
use address_plan::AddressPlans;

pub use address_plan::is_acknowledged;
pub use apply::apply;
pub use planned_write::{Draws, PlannedWrite};
pub use write_order::{WriteStage, stages};

/// What to write, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The writes, in order.
    pub writes: Vec<PlannedWrite>,
    /// How many numbers to draw from the cluster's fence counter before [`Plan::fill`].
    pub numbers: u64,
    /// When time alone will change the plan (a release ends, a quarantine is over): plan again
    /// then, even if nothing was written by others.
    pub wake_at: Option<Timestamp>,
    /// Ports that cannot rest, and so cannot be given out, before a gateway acknowledges.
    pub waiting: Vec<UnacknowledgedEnd>,
    /// Nodes that need ports of an address that has none left.
    pub short_of_ports: BTreeSet<(NodeName, IpAddr)>,
    /// Addresses that must leave an owner for a gateway that their cloud has not made ready, whether
    /// they wait or move in this plan since the wait is over. The caller remembers since when
    /// ([`LeaderMemory::note_awaited`]).
    pub timed: BTreeSet<IpAddr>,
}

impl Plan {
    /// The writes with the drawn numbers `first .. first + self.numbers` put in.
    ///
    /// `first` is at least 1: 0 stands for "not drawn".
    pub fn fill(self, first: u64) -> Vec<PlannedWrite> {
        let mut writes = self.writes;
        for write in &mut writes {
            write.fill(first);
        }
        writes
    }
}

/// What the leader should write now.
pub fn plan(
    snapshot: &Snapshot,
    memory: &LeaderMemory,
    settings: &ControllerSettings,
    now: Timestamp,
) -> Plan {
    if snapshot.cluster.as_ref().is_some_and(|cluster| cluster.value.uninstalling) {
        // Nothing but what the clouds have given back.
        let writes = address_statuses(snapshot, conditions::released_by_clouds(snapshot, memory));
        return Plan { writes: writes.collect(), ..Plan::default() };
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
    let mut addresses = AddressPlans::draft(snapshot, memory, now, t_max, &bindings, &mut wake);
    let mut writes = addresses.writes(snapshot, &mut numbers);
    writes.extend(cluster.1);
    let mut drafts: BTreeMap<NodeName, NodeBlocksDraft> = snapshot
        .egress_nodes
        .iter()
        .map(|(name, node)| (name.clone(), NodeBlocksDraft::of(&node.value.spec)))
        .collect();
    let plans = &addresses.plans;
    let waiting = port_blocks::sweep(snapshot, memory, now, plans, &mut drafts, &mut wake);
    let short_of_ports = port_blocks::grant(snapshot, plans, &mut drafts);
    let free = addresses.free(snapshot, memory, &drafts);
    writes.extend(admissions(snapshot, settings));
    let reach = &HolderReach::new(snapshot, now);
    let view = (snapshot, memory, now, reach);
    writes.extend(node_specs(view, &cluster.0, plans, drafts, &mut numbers));
    addresses.plans.retain(|address, _| !free.contains(address));
    writes.extend(address_plan::deletions(snapshot, &free));
    let AddressPlans { plans, awaited, timed, balances, .. } = &addresses;
    let bindings = &bindings;
    let view = ConditionInputs {
        snapshot,
        memory,
        bindings,
        plans,
        awaited,
        timed,
        balances,
        reach,
        t_max,
        now,
    };
    writes.extend(statuses(&view));
    wake_for_failback(memory, &addresses, &mut wake);
    reach.wakes().for_each(&mut wake);
    memory.unsure_of.iter().for_each(|unsure| wake(unsure.ends_at()));
    for balance in addresses.balances.values() {
        if let Balance::Intended(found) = balance {
            wake(found.not_before);
        }
    }
    for address in &addresses.timed {
        wake(memory.awaited_since.get(address).copied().unwrap_or(now) + READY_WITHIN);
    }
    Plan { writes, numbers, wake_at, waiting, short_of_ports, timed: addresses.timed }
}

/// The cluster object as it should be, and its write where it is not.
fn cluster(
    snapshot: &Snapshot,
    memory: &LeaderMemory,
    settings: &ControllerSettings,
    now: Timestamp,
    wake: &mut dyn FnMut(Timestamp),
) -> (Cluster, Option<PlannedWrite>) {
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
    cluster.ranges = ranges::desired(snapshot, memory, settings, now);
    for since in memory.api_servers_gone_since.values() {
        wake(*since + ranges::API_SERVER_KEPT);
    }
    let mut notes = Vec::new();
    if let Some((set, change)) = voter_set::next_set(snapshot, memory, now) {
        notes.push(EventDraft::normal(
            ObjectRef::cluster(),
            EventReason::Voters,
            voters_message(set.number, &change),
        ));
        cluster.set = Some(set);
    }
    for member in cluster.set.iter().flat_map(|set| &set.members) {
        if let Some(since) = memory.absent_since.get(&member.node) {
            wake(*since + voter_set::REPLACE_AFTER);
        }
    }
    if stored.is_some_and(|stored| stored.value == cluster) {
        return (cluster, None);
    }
    let expect = stored.map(|stored| stored.version.clone());
    let write = Write::Cluster { expect, cluster: cluster.clone() };
    (cluster, Some(PlannedWrite { notes, ..write.into() }))
}

fn voters_message(number: u64, change: &VoterSetChange) -> String {
    match change {
        VoterSetChange::First(node) => format!("set {number}: {node} is the first voter"),
        VoterSetChange::Added(node) => format!("set {number}: {node} votes"),
        VoterSetChange::Removed(node, why) => {
            format!("set {number}: {node} votes no longer: {why}")
        }
        VoterSetChange::Updated(node) => {
            format!("set {number}: {node} votes from another address or with another key")
        }
    }
}

/// The writes of specs that differ. Numbers ascend with the order of the writes.
fn node_specs(
    view: (&Snapshot, &LeaderMemory, Timestamp, &HolderReach<'_>),
    cluster: &Cluster,
    plans: &BTreeMap<IpAddr, AddressPlan>,
    drafts: BTreeMap<NodeName, NodeBlocksDraft>,
    next: &mut u64,
) -> Vec<PlannedWrite> {
    let (snapshot, memory, now, reach) = view;
    let endpoint_default = tunnel_network::by_default(snapshot);
    let mut writes = Vec::new();
    // First what may still be written by an earlier turn, with smaller numbers than these.
    let unsure = memory.unsure_of.as_ref();
    let mut drafts: Vec<(NodeName, NodeBlocksDraft)> = drafts.into_iter().collect();
    drafts.sort_by_key(|(node, _)| unsure.map(|unsure| &unsure.node) != Some(node));
    let mut draws_wait = false;
    for (node, draft) in drafts {
        let Some(stored) = snapshot.egress_nodes.get(&node) else { continue };
        let before = &stored.value.spec;
        let drawn_before = *next;
        let (blocks, draws) = draft.finish(next);
        if draws_wait && !draws.is_empty() {
            *next = drawn_before;
            continue;
        }
        let expect = Some(stored.version.clone());
        let gone = !snapshot.nodes.contains_key(&node)
            && memory.absent_for(&node, port_blocks::END_AFTER, now)
            && !votes(cluster, &node);
        if (gone || stored.value.deleting) && blocks.is_empty() && before.blocks.is_empty() {
            writes.push(Write::DeleteNode { node, expect }.into());
            continue;
        }
        let spec = EgressNodeSpec {
            blocks,
            drain: before.drain,
            roles: roles(snapshot, cluster, plans, &node),
            pod_cidrs: ranges::assigned_to(snapshot, cluster.ranges.pods_from, &node)
                .unwrap_or_else(|| before.pod_cidrs.clone()),
            leaving: departure::said_by_node(snapshot, &node),
            tunnel_endpoint: tunnel_network::annotated(snapshot, &node, before),
            tunnel_endpoint_default: endpoint_default.clone(),
            reach_question: reach.question(&node),
        };
        if !draws.is_empty() || spec != *before {
            let write = Write::NodeSpec { node, expect, spec };
            writes.push(PlannedWrite { draws: Draws::Blocks(draws), ..write.into() });
        } else {
            draws_wait |= unsure.is_some_and(|unsure| {
                unsure.node == stored.value.name && unsure.may_land(&stored.version, now)
            });
        }
    }
    writes
}

/// Nodes whose agent is ready and that pods are kept off until it is.
fn admissions(snapshot: &Snapshot, settings: &ControllerSettings) -> Vec<PlannedWrite> {
    // A dead agent's status still says that it was ready.
    let absent = liveness::absent(snapshot);
    let ready = |node: &&NodeName| {
        if absent.contains(*node) {
            return false;
        }
        let stored = snapshot.egress_nodes.get(*node);
        let mut conditions = stored.iter().flat_map(|stored| &stored.value.status.conditions);
        // What others do with marks concerns some of its traffic, and does not end by waiting.
        let of_marks = [AgentReason::NoFreeMark, AgentReason::ConnectionMarkOverwritten];
        let of_marks = of_marks.map(|reason| reason.to_string());
        let works =
            |condition: &Condition| condition.status || of_marks.contains(&condition.reason);
        conditions.any(|condition| condition.kind == ConditionType::Ready && works(condition))
    };
    let waiting =
        snapshot.nodes.values().filter(|node| settings.startup_taint && node.awaits_agent);
    waiting
        .map(|node| &node.name)
        .filter(ready)
        .map(|node| Write::AdmitPods { node: node.clone() }.into())
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
) -> BTreeSet<NodeRole> {
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
    let roles = [(gateway, NodeRole::Gateway), (votes(cluster, node), NodeRole::Voter)];
    roles.into_iter().filter_map(|(has, role)| has.then_some(role)).collect()
}

fn statuses(view: &ConditionInputs<'_>) -> Vec<PlannedWrite> {
    let addresses = address_statuses(view.snapshot, conditions::address_statuses(view));
    let pools = conditions::pool_statuses(view);
    let pools = pools.into_iter().map(|(pool, status)| Write::PoolStatus { pool, status }.into());
    let claims = conditions::claim_statuses(view);
    let claims =
        claims.into_iter().map(|(claim, status)| Write::ClaimStatus { claim, status }.into());
    let absences = conditions::agent_absences(view).into_iter();
    let absences = absences.map(|(node, condition)| Write::AgentAbsent { node, condition }.into());
    let cluster = conditions::cluster_status(view);
    let cluster = cluster.map(|status| Write::ClusterStatus { status }.into());
    addresses.chain(pools).chain(claims).chain(absences).chain(cluster).collect()
}

fn address_statuses(
    snapshot: &Snapshot,
    statuses: BTreeMap<IpAddr, AddressStatus>,
) -> impl Iterator<Item = PlannedWrite> {
    statuses.into_iter().map(|(address, status)| {
        let stored = snapshot.addresses.get(&address);
        let expect = stored.map(|stored| stored.version.clone());
        Write::AddressStatus { address, expect, status }.into()
    })
}

/// An address that waits to go back does so when its home has been fit long enough.
fn wake_for_failback(
    memory: &LeaderMemory,
    addresses: &AddressPlans,
    wake: &mut dyn FnMut(Timestamp),
) {
    for plan in addresses.plans.values() {
        let since = plan.home.as_ref().and_then(|home| memory.fit_since.get(home));
        if let Some(since) = since {
            wake(*since + FAILBACK_AFTER);
        }
    }
}

#[cfg(test)]
mod tests;
