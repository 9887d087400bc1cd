use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::{AddressPlan, EgressAddress, NodeName, PortRange, Snapshot};
use crate::port_blocks::conflicting_grants;

/// Who a port block is leased to, for the block map of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockHolder {
    /// The director.
    pub node: NodeName,
    /// Its underlay addresses.
    pub endpoints: Vec<IpAddr>,
    /// The grant's epoch.
    pub epoch: u64,
}

/// The port blocks of all directors that a gateway must know: grants that have not ended.
///
/// A gateway drops an ended grant as soon as it reads it; a director without an endpoint cannot be
/// reached and is left out.
pub fn gateway_blocks(snapshot: &Snapshot) -> BTreeMap<(IpAddr, PortRange), BlockHolder> {
    let mut blocks = BTreeMap::new();
    let void = conflicting_grants(snapshot);
    for (name, node) in &snapshot.egress_nodes {
        let endpoints = &node.value.status.endpoints;
        if endpoints.is_empty() {
            continue;
        }
        for grant in node.value.spec.blocks.iter().filter(|grant| grant.ended.is_none()) {
            if void.contains(&(name.clone(), grant.clone())) {
                continue;
            }
            let holder = BlockHolder {
                node: name.clone(),
                endpoints: endpoints.clone(),
                epoch: grant.epoch,
            };
            blocks.insert((grant.address, grant.ports), holder);
        }
    }
    blocks
}

/// The newest number in any grant or end that this snapshot shows: what a gateway acknowledges
/// (`acknowledged_blocks`) once [`gateway_blocks`] of the same snapshot is in its kernel.
pub fn newest_block_number(snapshot: &Snapshot) -> u64 {
    snapshot
        .egress_nodes
        .values()
        .flat_map(|node| &node.value.spec.blocks)
        .map(|grant| grant.epoch.max(grant.ended.unwrap_or(0)))
        .max()
        .unwrap_or(0)
}

/// The blocks granted to `me` as a director, with their epochs: grants that have not ended.
pub fn granted_blocks(
    snapshot: &Snapshot,
    me: &NodeName,
) -> BTreeMap<IpAddr, BTreeMap<PortRange, u64>> {
    let mut blocks: BTreeMap<IpAddr, BTreeMap<PortRange, u64>> = BTreeMap::new();
    let Some(node) = snapshot.egress_nodes.get(me) else { return blocks };
    let void = conflicting_grants(snapshot);
    for grant in node.value.spec.blocks.iter().filter(|grant| grant.ended.is_none()) {
        if !void.contains(&(me.clone(), grant.clone())) {
            blocks.entry(grant.address).or_default().insert(grant.ports, grant.epoch);
        }
    }
    blocks
}

/// The nodes in an address's plan: owner, standbys, and who has it by the status: its holder, and
/// whom a cloud delivers it to.
pub fn nodes_of(address: &EgressAddress) -> BTreeSet<&NodeName> {
    let holder = address.status.holding.as_ref().map(|holding| &holding.node);
    let attached = address.status.attachment.as_ref().map(|attachment| &attachment.node);
    address.plan.owner.iter().chain(&address.plan.standbys).chain(holder).chain(attached).collect()
}

/// Whether `me` has to acknowledge port blocks: some address names it, a revoked one too, whose ports
/// rest only once its gateways have acknowledged their end.
pub fn is_gateway(snapshot: &Snapshot, me: &NodeName) -> bool {
    snapshot.addresses.values().any(|stored| nodes_of(&stored.value).contains(me))
}

/// The gateways of the cluster: every node in the plan of any address, with its underlay addresses.
pub fn gateways_of(snapshot: &Snapshot) -> BTreeMap<NodeName, Vec<IpAddr>> {
    let names: BTreeSet<&NodeName> =
        snapshot.addresses.values().flat_map(|address| nodes_of(&address.value)).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let node = snapshot.egress_nodes.get(name)?;
            Some((name.clone(), node.value.status.endpoints.clone()))
        })
        .collect()
}

/// The addresses whose plan gives `me` a rank (0: owner), with the plan; behind them what a cloud
/// still delivers to `me`, as the last rank.
///
/// Guarantees: nothing that has been revoked (docs/leases.md rule 11).
pub fn planned_for<'a>(
    snapshot: &'a Snapshot,
    me: &NodeName,
) -> BTreeMap<IpAddr, (usize, &'a AddressPlan)> {
    let mut planned = BTreeMap::new();
    for (address, stored) in &snapshot.addresses {
        let plan = &stored.value.plan;
        if plan.is_revoked() {
            continue;
        }
        let attached = stored.value.status.attachment.as_ref().map(|attachment| &attachment.node);
        let mut ranks = plan.owner.iter().chain(&plan.standbys).chain(attached);
        let rank = ranks.position(|node| node == me);
        if let Some(rank) = rank {
            // Without an owner the first standby is still rank 1: only an owner asks at once.
            let rank = if plan.owner.is_none() { rank + 1 } else { rank };
            planned.insert(*address, (rank, plan));
        }
    }
    planned
}

/// The nodes that hold a block of `address` as directors, ended ones included: whom a new holder
/// tells directly.
pub fn directors_of(snapshot: &Snapshot, address: IpAddr) -> BTreeSet<NodeName> {
    snapshot
        .egress_nodes
        .iter()
        .filter(|(_, node)| node.value.spec.blocks.iter().any(|grant| grant.address == address))
        .map(|(name, _)| name.clone())
        .collect()
}
