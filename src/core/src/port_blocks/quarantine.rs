use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use crate::memory::LeaderMemory;
use crate::model::{AddressPlan, BlockGrant, EgressNode, NodeName, PortRange, Snapshot, Timestamp};

use super::conflict::conflicting_grants;
use super::{END_AFTER, NodeBlocksDraft, QUARANTINE, surplus};

/// Ports whose quarantine cannot begin: a gateway has not acknowledged their end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnacknowledgedEnd {
    /// The address.
    pub address: IpAddr,
    /// The ports.
    pub ports: PortRange,
    /// The gateway that has not acknowledged.
    pub gateway: NodeName,
}

/// Ends grants that must end, begins and ends quarantines. Returns what waits for whom.
///
/// `plans` are the addresses as this plan leaves them. `wake` is called with every moment at which
/// time alone goes on.
pub fn sweep(
    snapshot: &Snapshot,
    memory: &LeaderMemory,
    now: Timestamp,
    plans: &BTreeMap<IpAddr, AddressPlan>,
    drafts: &mut BTreeMap<NodeName, NodeBlocksDraft>,
    wake: &mut dyn FnMut(Timestamp),
) -> Vec<UnacknowledgedEnd> {
    let void = conflicting_grants(snapshot);
    let sweeper = Sweeper { snapshot, memory, now, plans };
    let mut waiting = Vec::new();
    for (name, stored) in &snapshot.egress_nodes {
        let Some(draft) = drafts.get_mut(name) else { continue };
        let over = sweeper.over(&stored.value, wake);
        draft.grants.retain_mut(|draft| match draft.grant.ended {
            None => {
                let twice = void.contains(&(name.clone(), draft.grant.clone()));
                draft.ends = over.contains(&draft.grant) || twice;
                true
            }
            Some(ended) => sweeper.rests(&mut draft.grant, ended, &mut waiting, wake),
        });
    }
    waiting
}

struct Sweeper<'a> {
    snapshot: &'a Snapshot,
    memory: &'a LeaderMemory,
    now: Timestamp,
    plans: &'a BTreeMap<IpAddr, AddressPlan>,
}

impl Sweeper<'_> {
    /// The live grants of a node that end now.
    fn over(&self, node: &EgressNode, wake: &mut dyn FnMut(Timestamp)) -> BTreeSet<BlockGrant> {
        let live = node.spec.blocks.iter().filter(|grant| grant.ended.is_none());
        let mut by_address: BTreeMap<IpAddr, Vec<BlockGrant>> = BTreeMap::new();
        for grant in live {
            by_address.entry(grant.address).or_default().push(grant.clone());
        }
        if let Some(since) =
            self.memory.absent_since.get(&node.name).filter(|_| !by_address.is_empty())
        {
            wake(*since + END_AFTER);
        }
        let gone = node.deleting || self.memory.absent_for(&node.name, END_AFTER, self.now);
        let mut over = BTreeSet::new();
        for (address, grants) in by_address {
            let plan = self.plans.get(&address);
            let revoked = plan.is_none_or(AddressPlan::is_revoked);
            if plan.is_some_and(|plan| plan.paused) && !revoked {
                continue;
            }
            if revoked || gone {
                over.extend(grants);
            } else if let Some(need) = node.status.block_needs.get(&address).filter(|n| **n > 0) {
                over.extend(surplus(&grants, *need));
            }
        }
        over
    }

    /// Whether the entry of an ended grant stays; begins its quarantine when it can.
    fn rests(
        &self,
        grant: &mut BlockGrant,
        ended: u64,
        waiting: &mut Vec<UnacknowledgedEnd>,
        wake: &mut dyn FnMut(Timestamp),
    ) -> bool {
        if let Some(since) = grant.quarantined_since {
            wake(since + QUARANTINE);
            return self.now.since(since) < QUARANTINE;
        }
        let late = self.gateways(grant.address).into_iter().find(|node| {
            let node = self.snapshot.egress_nodes.get(*node);
            node.is_none_or(|node| node.value.status.acknowledged_blocks < ended)
        });
        match late {
            Some(gateway) => waiting.push(UnacknowledgedEnd {
                address: grant.address,
                ports: grant.ports,
                gateway: gateway.clone(),
            }),
            None => {
                grant.quarantined_since = Some(self.now);
                wake(self.now + QUARANTINE);
            }
        }
        true
    }

    /// The gateways that must know of an end: all in the address's plan, and its holder. Of an
    /// address that is revoked, those that are long absent, or have no `EgressNode` in which they could
    /// answer, are not asked: no voter grants it to them, so nothing that they remember counts.
    fn gateways(&self, address: IpAddr) -> BTreeSet<&NodeName> {
        let plan = self.plans.get(&address);
        let revoked = plan.is_none_or(AddressPlan::is_revoked);
        let stored = self.snapshot.addresses.get(&address);
        let holder = stored.and_then(|stored| stored.value.status.holding.as_ref());
        let attached = stored.and_then(|stored| stored.value.status.attachment.as_ref());
        let planned = plan.into_iter().flat_map(|plan| plan.owner.iter().chain(&plan.standbys));
        planned
            .chain(holder.map(|holding| &holding.node))
            .chain(attached.map(|attachment| &attachment.node))
            .filter(|node| !(revoked && self.is_gone(node)))
            .collect()
    }

    fn is_gone(&self, node: &NodeName) -> bool {
        !self.snapshot.egress_nodes.contains_key(node)
            || self.memory.absent_for(node, END_AFTER, self.now)
    }
}
