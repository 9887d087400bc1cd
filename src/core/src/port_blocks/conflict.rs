use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::{BlockGrant, NodeName, Snapshot};

use super::PortSpace;

/// Live grants whose ports an earlier live grant of the same address has: void everywhere.
///
/// Grants to two nodes are two objects, so no compare-and-swap keeps two leaders (one of which was
/// paused while it wrote) from granting one range twice. The smaller epoch is the older word:
/// directors, gateways and the planner all go by it, and the planner ends the other.
pub fn conflicting_grants(snapshot: &Snapshot) -> BTreeSet<(NodeName, BlockGrant)> {
    let mut live: Vec<(u64, &NodeName, &BlockGrant)> = snapshot
        .egress_nodes
        .iter()
        .flat_map(|(name, node)| node.value.spec.blocks.iter().map(move |grant| (name, grant)))
        .filter(|(_, grant)| grant.ended.is_none())
        .map(|(name, grant)| (grant.epoch, name, grant))
        .collect();
    live.sort_unstable();
    let mut spaces: BTreeMap<IpAddr, PortSpace> = BTreeMap::new();
    let mut void = BTreeSet::new();
    for (_, name, grant) in live {
        let space = spaces.entry(grant.address).or_default();
        if space.is_free(grant.ports) {
            space.take(grant.ports);
        } else {
            void.insert((name.clone(), grant.clone()));
        }
    }
    void
}
