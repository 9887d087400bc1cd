use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use crate::cidr::Span;
use crate::hash;
use crate::model::{EgressNode, LabelSelector, Node, NodeName, PoolName, ProviderKind, Snapshot};
use crate::presence;

/// Why a node cannot own or back up an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Ineligible {
    /// The pool's `gateways.nodeSelector` does not select it, or its Node is gone.
    NotSelected,
    /// Its agent has not said where it listens, or its key.
    NoAgent,
    /// A majority of the voters does not hear it.
    Absent,
    /// It is drained or cordoned.
    Drained,
    /// None of its uplinks is in the address's subnet.
    WrongSubnet,
}

/// A node that could be a gateway.
pub(super) struct Gateway<'a> {
    pub(super) name: &'a NodeName,
    pub(super) zone: &'a str,
    pub(super) seed: u64,
}

/// The gateways of every pool, by subnet: who may carry which address.
pub struct Gateways<'a> {
    snapshot: &'a Snapshot,
    absent: BTreeSet<NodeName>,
    nodes: Vec<Gateway<'a>>,
    /// By pool: subnets, each with the eligible gateways in it (positions in `nodes`).
    subnets: BTreeMap<&'a PoolName, BTreeMap<Span, Vec<usize>>>,
}

impl<'a> Gateways<'a> {
    /// Looks at every node once per pool.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let mut gateways = Self {
            snapshot,
            absent: presence::absent(snapshot),
            nodes: Vec::new(),
            subnets: BTreeMap::new(),
        };
        let mut able = Vec::new();
        for (name, node) in &snapshot.nodes {
            let Some(egress) = gateways.able(name) else { continue };
            gateways.nodes.push(Gateway { name, zone: &node.zone, seed: hash::seed(name) });
            let links = egress.status.uplinks.iter().flat_map(|uplink| &uplink.subnets);
            let spans: BTreeSet<Span> = links.map(|net| Span::of_net(*net)).collect();
            able.push((node, spans));
        }
        for (pool, stored) in &snapshot.pools {
            let subnets = gateways.subnets.entry(pool).or_default();
            for (index, (node, spans)) in able.iter().enumerate() {
                if stored.value.0.gateways.matches(&node.labels) {
                    for span in spans {
                        subnets.entry(*span).or_default().push(index);
                    }
                }
            }
        }
        gateways
    }

    /// The node's `EgressNode`, where it may be a gateway of some pool.
    fn able(&self, name: &NodeName) -> Option<&'a EgressNode> {
        let egress = &self.snapshot.egress_nodes.get(name)?.value;
        let here = has_agent(egress) && !self.absent.contains(name);
        (here && !presence::drained(self.snapshot, name)).then_some(egress)
    }

    /// The snapshot's own name of a node that may be a gateway or not.
    pub(super) fn name(&self, node: &NodeName) -> Option<&'a NodeName> {
        self.snapshot.nodes.get(node).map(|node| &node.name)
    }

    /// The gateways that may carry `address` of `pool`, in order of name.
    pub(super) fn serving(&self, pool: &PoolName, address: IpAddr) -> Vec<&Gateway<'a>> {
        let Some(subnets) = self.subnets.get(pool) else { return Vec::new() };
        let mut found = subnets.iter().filter(|(span, _)| span.contains(address));
        let first = found.next().map(|(_, nodes)| nodes.as_slice()).unwrap_or_default();
        let others: Vec<&usize> = found.flat_map(|(_, nodes)| nodes).collect();
        let gateway = |position: &usize| self.nodes.get(*position);
        if others.is_empty() {
            return first.iter().filter_map(gateway).collect();
        }
        let positions: BTreeSet<&usize> = first.iter().chain(others).collect();
        positions.into_iter().filter_map(gateway).collect()
    }

    /// Why `node` may not carry `address` of `pool`; `None` where it may.
    pub fn ineligible(
        &self,
        pool: &PoolName,
        address: IpAddr,
        node: &NodeName,
    ) -> Option<Ineligible> {
        let stored = self.snapshot.pools.get(pool);
        let selected = |selector: &LabelSelector, node: &Node| selector.matches(&node.labels);
        let object = self.snapshot.nodes.get(node);
        let egress = self.snapshot.egress_nodes.get(node).map(|stored| &stored.value);
        if self.absent.contains(node) {
            return Some(Ineligible::Absent);
        }
        match (stored, object) {
            (Some(pool), Some(object)) if selected(&pool.value.0.gateways, object) => {}
            _ => return Some(Ineligible::NotSelected),
        }
        let Some(egress) = egress.filter(|egress| has_agent(egress)) else {
            return Some(Ineligible::NoAgent);
        };
        if presence::drained(self.snapshot, node) {
            return Some(Ineligible::Drained);
        }
        let serves = match stored.map(|pool| pool.value.0.provider) {
            Some(ProviderKind::L2) => can_announce(egress, address),
            None => false,
        };
        (!serves).then_some(Ineligible::WrongSubnet)
    }
}

fn has_agent(egress: &EgressNode) -> bool {
    !egress.status.endpoints.is_empty() && egress.status.public_key.is_some()
}

/// On L2 an address lives in a subnet of an uplink: elsewhere nobody would ask for it by ARP.
fn can_announce(egress: &EgressNode, address: IpAddr) -> bool {
    let subnets = egress.status.uplinks.iter().flat_map(|uplink| &uplink.subnets);
    subnets.into_iter().any(|subnet| subnet.contains(&address))
}
