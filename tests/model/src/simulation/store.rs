//! The store and the controller, as far as leases see them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use egret_core::lease::{AddressView, ClusterView, PlanView};
use egret_core::model::{AnnouncementForm, Holding, Millis, NodeName, PublicKey, Voter, VoterSet};

use super::node::name;
use super::setup::Setup;

/// What is stored.
#[derive(Debug)]
pub(super) struct SimulatedStore {
    plan: PlanView,
    /// In no plan.
    drained: BTreeSet<NodeName>,
}

impl SimulatedStore {
    pub(super) fn new(setup: &Setup) -> Self {
        Self { plan: first(setup), drained: BTreeSet::new() }
    }

    /// What an agent reads.
    pub(super) fn read(&self) -> Box<PlanView> {
        Box::new(self.plan.clone())
    }

    /// The addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.plan.addresses.keys().copied()
    }

    /// Whether the plan ranks the node.
    pub(super) fn ranks(&self, address: IpAddr, node: &NodeName) -> bool {
        let plan = self.plan.addresses.get(&address);
        plan.is_some_and(|plan| plan.ranks().any(|ranked| ranked == node))
    }

    /// The first in rank but for `node`.
    pub(super) fn first_beside(&self, address: IpAddr, node: &NodeName) -> Option<NodeName> {
        let plan = self.plan.addresses.get(&address)?;
        plan.ranks().find(|ranked| *ranked != node).cloned()
    }

    /// The controller takes a node out of all plans, for the holders that it knows of. Whether it does:
    /// three stay.
    pub(super) fn drain(&mut self, node: &NodeName) -> bool {
        if self.drained.len() + 3 >= self.plan.nodes.len() || !self.drained.insert(node.clone()) {
            return false;
        }
        for plan in self.plan.addresses.values_mut() {
            let mut ranks: Vec<_> =
                plan.ranks().filter(|ranked| *ranked != node).cloned().collect();
            plan.standbys = ranks.split_off(1);
            plan.owner = ranks.pop();
            plan.made_for.clone_from(&plan.holding);
        }
        true
    }

    /// A holder has written itself into the status, which is refused where the plan does not rank it; the
    /// controller adopts it and plans anew. Whether that was news.
    pub(super) fn adopt(&mut self, address: IpAddr, holding: &Holding) -> bool {
        let nodes = self.plan.nodes.len();
        let Some(plan) = self.plan.addresses.get_mut(&address) else { return false };
        if plan.ranks().all(|node| *node != holding.node) {
            return false;
        }
        let older = |known: &Holding| known.epoch >= holding.epoch;
        if plan.holding.as_ref().is_some_and(older) {
            return false;
        }
        let mut others: Vec<_> =
            plan.ranks().filter(|node| **node != holding.node).cloned().collect();
        others.truncate(nodes - 1);
        plan.owner = Some(holding.node.clone());
        plan.standbys = others;
        plan.holding = Some(holding.clone());
        plan.made_for = Some(holding.clone());
        if plan.no_deadline {
            plan.attached = Some(holding.node.clone());
        }
        true
    }
}

fn first(setup: &Setup) -> PlanView {
    let all: Vec<_> = (0..setup.nodes).map(name).collect();
    let voter = |node: usize| Voter {
        node: name(node),
        endpoints: Vec::new(),
        peer_port: 0,
        public_key: PublicKey([0; 32]),
    };
    let set = VoterSet { number: 1, members: (0..setup.voters).map(voter).collect() };
    let mut addresses = BTreeMap::new();
    for place in 0..setup.addresses {
        let mut ranks = all.clone();
        ranks.rotate_left(place % setup.nodes);
        let plan = AddressView {
            owner: ranks.first().cloned(),
            standbys: ranks.split_off(1),
            fence: 1,
            lease: Millis(setup.lease),
            made_for: None,
            holding: None,
            probed: true,
            revoked: false,
            paused: false,
            no_deadline: setup.cloud,
            attached: None,
            announces: !setup.cloud,
            directors: all.iter().cloned().collect(),
            gateways: all.iter().cloned().collect(),
            announcement: AnnouncementForm::ArpNdp,
            accepted: None,
            foreign_host: false,
            on_interface: false,
            was_held: false,
            reach: Default::default(),
        };
        let last = u8::try_from(place).unwrap_or(u8::MAX);
        addresses.insert(IpAddr::V4(Ipv4Addr::new(203, 0, 113, last)), plan);
    }
    let cluster =
        ClusterView { id: "simulated".into(), set: Some(set), t_max: Millis(setup.t_max) };
    PlanView { cluster: Some(cluster), addresses, nodes: all.into_iter().collect::<BTreeSet<_>>() }
}
