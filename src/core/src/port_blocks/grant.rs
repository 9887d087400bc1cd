use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::membership::liveness;
use crate::model::{
    AddressPlan, BlockGrant, ClaimRef, EgressNode, Family, NodeName, PortRange, Snapshot,
};

use super::{AHEAD_NODES, DraftGrant, NodeBlocksDraft, PORTS, PortSpace, default_size, ranked};

/// Grants what nodes need and do not have. Returns what could not be had: (node, address).
///
/// `plans` are the addresses as this plan leaves them. Ports that any entry of the snapshot names
/// are taken, also where this plan removes the entry.
pub fn grant(
    snapshot: &Snapshot,
    plans: &BTreeMap<IpAddr, AddressPlan>,
    drafts: &mut BTreeMap<NodeName, NodeBlocksDraft>,
) -> BTreeSet<(NodeName, IpAddr)> {
    let mut spaces = spaces(snapshot);
    let absent = liveness::absent(snapshot);
    let reachable = |node: &EgressNode| !node.status.endpoints.is_empty();
    let nodes = snapshot.egress_nodes.values().filter(|node| reachable(&node.value)).count();
    let claimed = claimed(plans);
    let size = |plan: &AddressPlan| {
        let pool = snapshot.pools.get(&plan.pool).map(|stored| &stored.value.0);
        default_size(nodes, pool.map_or(1024, |pool| pool.ports_per_node))
    };
    let mut short = BTreeSet::new();
    let mut spares = Vec::new();
    for (name, stored) in &snapshot.egress_nodes {
        let Some(draft) = drafts.get_mut(name) else { continue };
        if absent.contains(name) || stored.value.deleting || !reachable(&stored.value) {
            continue;
        }
        for (address, need) in needs(&stored.value, &claimed, nodes <= AHEAD_NODES) {
            let Some(plan) = plans.get(&address).filter(|plan| plan.end.is_none()) else {
                continue;
            };
            let space = spaces.entry(address).or_default();
            if !fill(draft, space, address, need, size(plan)) {
                short.insert((name.clone(), address));
            }
            spares.extend(spare(&claimed, name, address, plan).map(|spare| (name, spare, plan)));
        }
    }
    // Behind what any node needs, and never of the last half.
    for (name, address, plan) in spares {
        let space = spaces.entry(address).or_default();
        if let Some(draft) = drafts.get_mut(name).filter(|_| space.taken() < PORTS / 2) {
            fill(draft, space, address, 1, size(plan));
        }
    }
    short
}

/// The address of the claim that a node would use instead of `address`, the one that it uses: while
/// the cloud's API is away, new connections go on with it (docs/design.md decision 15).
fn spare(
    claimed: &BTreeMap<&ClaimRef, Vec<IpAddr>>,
    node: &NodeName,
    address: IpAddr,
    plan: &AddressPlan,
) -> Option<IpAddr> {
    let addresses = claimed.get(&plan.claim).filter(|_| plan.facts().fabric_fences())?;
    match ranked(addresses, node, Family::of(address))[..] {
        [first, second, ..] if first == address => Some(second),
        _ => None,
    }
}

/// What is taken, by address.
fn spaces(snapshot: &Snapshot) -> BTreeMap<IpAddr, PortSpace> {
    let mut spaces: BTreeMap<IpAddr, PortSpace> = BTreeMap::new();
    let nodes = snapshot.egress_nodes.values();
    for grant in nodes.flat_map(|node| &node.value.spec.blocks) {
        spaces.entry(grant.address).or_default().take(grant.ports);
    }
    spaces
}

/// The live addresses of every claim.
fn claimed(plans: &BTreeMap<IpAddr, AddressPlan>) -> BTreeMap<&ClaimRef, Vec<IpAddr>> {
    let mut claimed: BTreeMap<&ClaimRef, Vec<IpAddr>> = BTreeMap::new();
    for (address, plan) in plans.iter().filter(|(_, plan)| plan.end.is_none()) {
        claimed.entry(&plan.claim).or_default().push(*address);
    }
    claimed
}

/// What a node asked for; `ahead`, also one block of the address of every claim that it would use.
fn needs(
    node: &EgressNode,
    claimed: &BTreeMap<&ClaimRef, Vec<IpAddr>>,
    ahead: bool,
) -> BTreeMap<IpAddr, u32> {
    let mut needs = node.status.block_needs.clone();
    for addresses in claimed.values().filter(|_| ahead) {
        for family in [Family::IPv4, Family::IPv6] {
            if let Some(address) = ranked(addresses, &node.name, family).first() {
                let need = needs.entry(*address).or_default();
                *need = (*need).max(1);
            }
        }
    }
    needs
}

/// Adds blocks until the node has `need`; false where the ports have run out.
fn fill(
    draft: &mut NodeBlocksDraft,
    space: &mut PortSpace,
    address: IpAddr,
    need: u32,
    size: u16,
) -> bool {
    let live = |draft: &&DraftGrant| {
        draft.grant.address == address && draft.grant.ended.is_none() && !draft.ends
    };
    let mut mine: Vec<PortRange> =
        draft.grants.iter().filter(live).map(|draft| draft.grant.ports).collect();
    while mine.len() < usize::try_from(need).unwrap_or(usize::MAX) {
        let Some(ports) = space.find(&mine, size) else { return false };
        space.take(ports);
        mine.push(ports);
        let grant = BlockGrant { address, ports, epoch: 0, ended: None, quarantined_since: None };
        draft.grants.push(DraftGrant { grant, new: true, ends: false });
    }
    true
}
