//! Answers for people at a prompt: which claim wins and why, and what happens if a node dies.

mod succession;
mod what_if;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use crate::ipam::ranges;
use crate::membership::departure;
use crate::model::{
    AddressStatus, ClaimRef, ConditionSummary, EgressAddress, Family, Holding, Millis,
    NamespaceName, NodeName, Pod, PortRange, Snapshot, Stored, Uid,
};
use crate::node_config::flow_decision::{ClaimDestinations, FlowDecider, FlowDecision};
use crate::node_config::{
    AddressAvailability, FlowAction, PodIdentity, address_winner, granted_blocks,
};
use crate::selection::selects_part;

use succession::{successors, takeover_after};

pub use what_if::{WhatIf, what_if};

/// How a new connection of a pod to a destination leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The pod's node.
    pub node: NodeName,
    /// What happens.
    pub outcome: ConnectionOutcome,
    /// The claim that wins, where one selects the destination.
    pub claim: Option<ClaimRef>,
    /// The destination of that claim that matched; `None`: its default, everywhere.
    pub matched: Option<IpNet>,
    /// Other claims that select the pod and the destination, in the order in which they would win.
    pub others: Vec<ClaimRef>,
    /// The egress address that it leaves with.
    pub address: Option<IpAddr>,
    /// The blocks of that address that are granted to the pod's node.
    pub blocks: Vec<PortRange>,
    /// Who holds the address, by its status.
    pub holding: Option<Holding>,
    /// Who takes over, in order.
    pub standbys: Vec<NodeName>,
    /// The pod that has this pod's address, where that is another (the kernel tells pods by their
    /// addresses).
    pub address_owner: Option<PodIdentity>,
    /// Why the holder is to hand the address over, for people, after its name; `None` where it is not.
    pub holder_drain: Option<String>,
    /// Why it is dropped, or what is not known of it, for people; `None` where the outcome says it all.
    pub why: Option<String>,
    /// When the first of `standbys` asks for the address once the holder is silent, in milliseconds.
    pub takeover_after: Option<Millis>,
    /// What the pod's node says that it cannot do, for people: it may be why packets get lost.
    pub node_trouble: Option<String>,
}

impl Explanation {
    /// Of a connection of a pod that nothing of Egret's concerns.
    fn not_selected(pod: &Pod) -> Self {
        Self {
            node: pod.node.clone(),
            outcome: ConnectionOutcome::NotSelected,
            claim: None,
            matched: None,
            others: Vec::new(),
            address: None,
            blocks: Vec::new(),
            holding: None,
            standbys: Vec::new(),
            address_owner: None,
            holder_drain: None,
            why: None,
            takeover_after: None,
            node_trouble: None,
        }
    }
}

/// What happens to a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ConnectionOutcome {
    /// It leaves with the egress address.
    Steered,
    /// The pod uses the node's network and cannot be steered.
    HostNetwork,
    /// Its address is another pod's, and so is what it sends.
    AddressOfOther,
    /// The destination is never steered: the cluster's own, its API servers, clouds' metadata, link-local,
    /// loopback, multicast.
    NeverSteered,
    /// No claim selects pod and destination: it leaves as if there were no Egret.
    NotSelected,
    /// Dropped: the claim has no address of this family.
    DropFamilyWithoutAddress,
    /// Dropped: what is outside the cluster cannot be told.
    DropUnknownRange,
    /// Dropped: the claim has no address yet.
    DropNoAddress,
    /// Dropped: nobody holds the egress address.
    DropNoHolder,
    /// Dropped: the pod's node has no port block of the egress address yet.
    DropNoBlock,
    /// No object says it: the agent of the pod's node alone knows, or nobody.
    NotKnown,
}

/// How a new connection of `pod` to `destination` leaves; `None` where there is no such pod.
pub fn explain(
    snapshot: &Snapshot,
    pod: (&NamespaceName, &str),
    destination: IpAddr,
) -> Option<Explanation> {
    let pod = snapshot.pods.get(&(pod.0.clone(), pod.1.to_owned()))?;
    let mut explanation = Explanation::not_selected(pod);
    let written = ranges::written(snapshot);
    let (never, exempt) = (ranges::never_steered(&written), ranges::exempt(&written));
    if pod.host_network {
        explanation.outcome = ConnectionOutcome::HostNetwork;
        return Some(explanation);
    }
    if never.iter().chain(&exempt).any(|net| net.contains(&destination)) {
        explanation.outcome = ConnectionOutcome::NeverSteered;
        return Some(explanation);
    }
    explanation.address_owner = other_owner(snapshot, pod, Family::of(destination));
    if explanation.address_owner.is_some() {
        explanation.outcome = ConnectionOutcome::AddressOfOther;
        return Some(explanation);
    }
    // As in the steering config: without the cluster object nothing is steered.
    let known = snapshot.cluster.is_some();
    let claims = snapshot.claims.values().filter(|_| known).map(|stored| &stored.value.0);
    let claims: Vec<ClaimDestinations<'_>> = claims
        .flat_map(|claim| claim.parts().map(move |part| (claim, part)))
        .filter(|(claim, (pods, _))| selects_part(snapshot, claim, pods, pod))
        .map(|(claim, (_, destinations))| (claim, destinations))
        .collect();
    let open_blocks = blocks_of(snapshot, &pod.node);
    let unavailable = unavailable(snapshot, &open_blocks);
    let availability =
        AddressAvailability { open_blocks, undelivered: undelivered(snapshot), unavailable };
    let decider = FlowDecider::new(snapshot, &pod.node, &availability);
    let entries = decider.entries(&claims, Family::of(destination));
    let mut hits =
        entries.iter().filter(|entry| entry.spans.iter().any(|span| span.contains(destination)));
    let Some(winner) = hits.next() else { return Some(explanation) };
    let name = &winner.claim.reference;
    let mut seen = BTreeSet::from([name]);
    explanation.claim = Some(name.clone());
    explanation.matched = winner.cidr;
    explanation.others = hits
        .map(|entry| &entry.claim.reference)
        .filter(|name| seen.insert(*name))
        .cloned()
        .collect();
    follow(snapshot, winner.decision, &mut explanation);
    Some(explanation)
}

/// The other pod of its node that has an address of this family which this pod shows too: by word of the
/// node's agent, which has heard the CNI, else as the API has them.
fn other_owner(snapshot: &Snapshot, pod: &Pod, family: Family) -> Option<PodIdentity> {
    let agent = snapshot.egress_nodes.get(&pod.node).map(|stored| &stored.value.status);
    let of_family = |net: &&IpNet| Family::of(net.addr()) == family;
    pod.sources.iter().filter(of_family).find_map(|net| {
        let on_node = |other: &&Pod| other.node == pod.node && !other.host_network;
        let shows = |other: &&Pod| other.sources.iter().any(|own| own.trunc() == net.trunc());
        let told = agent.and_then(|status| status.shared_pod_addresses.get(&net.trunc()));
        if let Some(owner) = told.and_then(|name| told_owner(snapshot, name)) {
            let itself = owner.is(pod);
            // A word from before it ended, or got another address.
            let known = snapshot.pods.get(&(owner.namespace.clone(), owner.name.clone()));
            if known.is_none_or(|known| shows(&known)) {
                return (!itself).then_some(owner);
            }
        }
        let winner = address_winner(snapshot.pods.values().filter(on_node).filter(shows), None)?;
        (!std::ptr::eq(winner, pod)).then(|| PodIdentity::of(winner))
    })
}

/// The pod of this name; with its uid where it is read, which over an API server it is not.
fn told_owner(snapshot: &Snapshot, name: &str) -> Option<PodIdentity> {
    let (namespace, name) = name.split_once('/')?;
    let (namespace, name) = (NamespaceName::new(namespace), name.to_owned());
    let known = snapshot.pods.get(&(namespace.clone(), name.clone())).map(PodIdentity::of);
    Some(known.unwrap_or(PodIdentity { namespace, name, uid: Uid::new("") }))
}

/// The granted blocks, as if each were open.
fn blocks_of(snapshot: &Snapshot, node: &NodeName) -> BTreeMap<IpAddr, BTreeSet<PortRange>> {
    let granted = granted_blocks(snapshot, node).into_iter();
    granted.map(|(address, blocks)| (address, blocks.into_keys().collect())).collect()
}

/// The addresses that wait for the cloud, by their statuses. Directors have it from the holder.
fn undelivered(snapshot: &Snapshot) -> BTreeSet<IpAddr> {
    let waits = |(address, stored): (&IpAddr, &Stored<EgressAddress>)| {
        let EgressAddress { plan, status, .. } = &stored.value;
        let holder = &status.holding.as_ref()?.node;
        let waits = plan.facts().fabric_fences() && !status.is_served_at(holder, plan.facts());
        waits.then_some(*address)
    };
    snapshot.addresses.iter().filter_map(waits).collect()
}

/// The addresses that nobody holds, by their statuses, or of which the node has no block. Its agent takes
/// them for unavailable once that has lasted for 5 s, by the word of the voters.
fn unavailable(
    snapshot: &Snapshot,
    open_blocks: &BTreeMap<IpAddr, BTreeSet<PortRange>>,
) -> BTreeSet<IpAddr> {
    let unusable = |(address, stored): (&IpAddr, &Stored<EgressAddress>)| {
        let unusable = stored.value.status.holding.is_none() || !open_blocks.contains_key(address);
        unusable.then_some(*address)
    };
    snapshot.addresses.iter().filter_map(unusable).collect()
}

fn follow(snapshot: &Snapshot, decision: FlowDecision, explanation: &mut Explanation) {
    let dropped = match decision {
        FlowDecision::Flow(FlowAction::Steer { address }) | FlowDecision::Node { address } => {
            explanation.address = Some(address);
            None
        }
        FlowDecision::Flow(FlowAction::DropFamilyWithoutAddress) => {
            Some(ConnectionOutcome::DropFamilyWithoutAddress)
        }
        FlowDecision::Flow(FlowAction::DropUnknownRange) => {
            Some(ConnectionOutcome::DropUnknownRange)
        }
        FlowDecision::Flow(FlowAction::DropNoAddress) => Some(ConnectionOutcome::DropNoAddress),
    };
    if let Some(dropped) = dropped {
        explanation.outcome = dropped;
        return;
    }
    let node = snapshot.egress_nodes.get(&explanation.node);
    let said = node.map(|node| ConditionSummary::of(&node.value.status.conditions));
    let not_ready = said.filter(|said| said.ready == Some(false));
    explanation.node_trouble = not_ready.map(|said| said.message.to_owned());
    let Some((address, stored)) =
        explanation.address.and_then(|address| snapshot.addresses.get_key_value(&address))
    else {
        return;
    };
    let mut granted = granted_blocks(snapshot, &explanation.node);
    explanation.blocks = granted.remove(address).unwrap_or_default().into_keys().collect();
    let EgressAddress { plan, status, .. } = &stored.value;
    explanation.holding = status.holding.clone();
    let holder = status.holding.as_ref().map(|holding| &holding.node);
    let drain = holder.and_then(|holder| departure::drain_reason(snapshot, holder));
    explanation.holder_drain = drain.map(|why| why.to_string());
    let gone = departure::gone(snapshot);
    explanation.standbys = successors(plan, holder, &gone).cloned().collect();
    explanation.takeover_after =
        explanation.standbys.first().map(|next| takeover_after(plan, holder, next));
    let may_leave = matches!(decision, FlowDecision::Node { .. });
    (explanation.outcome, explanation.why) = leaves(status, &gone, explanation, may_leave);
}

/// Whether a connection that is steered to an address leaves with it, as far as objects say; `may_leave`
/// where the claim lets it go with the node's address once the agent takes the address for unavailable.
fn leaves(
    status: &AddressStatus,
    gone: &BTreeSet<NodeName>,
    explanation: &Explanation,
    may_leave: bool,
) -> (ConnectionOutcome, Option<String>) {
    let node = &explanation.node;
    let without = match &status.holding {
        None => Some((ConnectionOutcome::DropNoHolder, "nobody holds it".to_owned())),
        Some(_) if explanation.blocks.is_empty() => {
            Some((ConnectionOutcome::DropNoBlock, format!("{node} has no port block of it")))
        }
        Some(_) => None,
    };
    match (without, &status.holding) {
        (Some((_, why)), _) if may_leave => {
            let why = format!(
                "{why}: dropped until {node} has seen that for 5 s, then it leaves with the address of \
                 {node} (whenUnavailable: Node); which of them, the agent there alone knows"
            );
            (ConnectionOutcome::NotKnown, Some(why))
        }
        (Some((dropped, _)), _) => (dropped, None),
        (None, Some(holding)) if gone.contains(&holding.node) => {
            let why = format!(
                "its holder {} is absent, and nobody has said that it took over",
                holding.node
            );
            (ConnectionOutcome::NotKnown, Some(why))
        }
        (None, _) => {
            let said = ConditionSummary::of(&status.conditions);
            match said.ready {
                Some(false) => (ConnectionOutcome::NotKnown, Some(said.message.to_owned())),
                _ => (ConnectionOutcome::Steered, None),
            }
        }
    }
}

#[cfg(test)]
mod tests;
