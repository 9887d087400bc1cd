//! The store and the controller, as far as leases see them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use egret_core::model::{Holding, Millis, PublicKey, Voter, VoterSet};
use egret_core::quorum::{AddressView, ClusterView, Input, Report, View};

use super::node::name;
use super::{Event, MS, Setup, Simulation};

pub(super) fn first(setup: &Setup) -> View {
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
            unarmed: false,
            attached: None,
            announces: true,
            directors: all.iter().cloned().collect(),
            gateways: all.iter().cloned().collect(),
        };
        let last = u8::try_from(place).unwrap_or(u8::MAX);
        addresses.insert(IpAddr::V4(Ipv4Addr::new(203, 0, 113, last)), plan);
    }
    let cluster =
        ClusterView { id: "simulated".into(), set: Some(set), t_max: Millis(setup.t_max) };
    View { cluster: Some(cluster), addresses, nodes: all.into_iter().collect::<BTreeSet<_>>() }
}

impl Simulation {
    /// A holder has written itself into the status; the controller adopts it and plans anew.
    pub(super) fn store_written(&mut self, report: &Report) {
        let Report::Held { address, holding, .. } = report else { return };
        let mut view = (*self.store).clone();
        let Some(plan) = view.addresses.get_mut(address) else { return };
        let older = |known: &Holding| known.epoch >= holding.epoch;
        if plan.holding.as_ref().is_some_and(older) {
            return;
        }
        let mut others: Vec<_> =
            plan.ranks().filter(|node| **node != holding.node).cloned().collect();
        others.truncate(self.setup.nodes - 1);
        plan.owner = Some(holding.node.clone());
        plan.standbys = others;
        plan.holding = Some(holding.clone());
        plan.made_for = Some(holding.clone());
        self.store = Arc::new(view);
        let after = 20 * MS + self.random(30 * MS);
        self.plan(after, Event::Published);
    }

    /// Every node reads the store, each after a while of its own.
    pub(super) fn store_published(&mut self) {
        for node in 0..self.agents.len() {
            let view = Box::new((*self.store).clone());
            let boot = self.agents[node].boots;
            let after = MS + self.random(20 * MS);
            self.plan(after, Event::Input { node, boot, input: Box::new(Input::View(view)) });
        }
    }
}
