use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::{Labels, NodeName, PoolName, ProviderKind, Snapshot};

/// What should be so in a cloud, by the plans and statuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredState {
    /// Whom each address is to be attached to: its holder.
    pub at: BTreeMap<IpAddr, NodeName>,
    /// What each gateway is to be ready for: owner, standbys and holder of each address, once it has
    /// been held. A gateway
    /// that is to be ready for nothing is there all the same.
    pub ready: BTreeMap<NodeName, BTreeSet<IpAddr>>,
    /// Revoked addresses, each with the nodes that may have something of it.
    pub nowhere: BTreeMap<IpAddr, BTreeSet<NodeName>>,
    /// What stands ready at a node that is gone and that no plan names.
    pub left_behind: BTreeSet<(IpAddr, NodeName)>,
    /// Every address in use.
    pub addresses: BTreeSet<IpAddr>,
    /// Every node that may be a gateway, with what the cloud calls it.
    pub nodes: BTreeMap<NodeName, String>,
    /// The tags by which pools find their addresses.
    pub tags: BTreeMap<PoolName, Labels>,
    /// Some pool or address is of this cloud.
    pub any: bool,
    /// Egret is being uninstalled: every address is wanted nowhere.
    uninstalling: bool,
}

impl DesiredState {
    /// Of the addresses of `kind`. Nothing of an address that is paused is wanted otherwise than it
    /// is.
    pub fn of(snapshot: &Snapshot, kind: ProviderKind) -> Self {
        let uninstalling = snapshot.cluster.as_ref().is_some_and(|c| c.value.uninstalling);
        let mut wanted = Self { uninstalling, ..Self::default() };
        let pools = snapshot.pools.values().map(|stored| &stored.value.0);
        let pools: Vec<_> = pools.filter(|pool| pool.provider == kind).collect();
        for pool in &pools {
            if !pool.discovery_tags.is_empty() {
                wanted.tags.insert(pool.name.clone(), pool.discovery_tags.clone());
            }
        }
        for (name, node) in &snapshot.nodes {
            if pools.iter().any(|pool| pool.gateways.matches(&node.labels)) {
                wanted.nodes.insert(name.clone(), node.provider_id.clone());
            }
        }
        wanted.any = !pools.is_empty();
        for stored in snapshot.addresses.values() {
            if stored.value.plan.provider == kind {
                wanted.add(snapshot, &stored.value);
            }
        }
        for node in wanted.nodes.keys() {
            wanted.ready.entry(node.clone()).or_default();
        }
        wanted
    }

    fn add(&mut self, snapshot: &Snapshot, address: &crate::model::EgressAddress) {
        let (plan, status) = (&address.plan, &address.status);
        let ip = address.address;
        self.any = true;
        self.addresses.insert(ip);
        let holder = status.holding.as_ref().map(|holding| &holding.node);
        let planned: BTreeSet<&NodeName> =
            plan.owner.iter().chain(&plan.standbys).chain(holder).collect();
        let known = status.attachment.iter().chain(&status.accepted).chain(&status.prepared);
        let known = known.map(|at| &at.node);
        let named: BTreeSet<&NodeName> = known.chain(planned.iter().copied()).collect();
        for name in &named {
            if let Some(node) = snapshot.nodes.get(*name) {
                self.nodes.insert((*name).clone(), node.provider_id.clone());
            }
        }
        if self.uninstalling {
            self.nowhere.insert(ip, named.into_iter().cloned().collect());
            return;
        }
        if plan.paused {
            // What stands ready for it stays so.
            for node in named {
                self.ready.entry(node.clone()).or_default().insert(ip);
            }
            return;
        }
        if plan.is_revoked() {
            self.nowhere.insert(ip, named.into_iter().cloned().collect());
            return;
        }
        if let Some(holder) = holder {
            self.at.insert(ip, holder.clone());
        } else if status.attachment.is_none() && status.prepared.is_empty() {
            // It was never attached: what its first attachment needs that makes itself.
            return;
        }
        for node in named {
            if planned.contains(node) {
                self.ready.entry(node.clone()).or_default().insert(ip);
            } else if !snapshot.nodes.contains_key(node) {
                self.left_behind.insert((ip, node.clone()));
            }
        }
    }
}
