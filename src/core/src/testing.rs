//! Constructors and a small world for the tests of this crate.

mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::memory::LeaderMemory;
use crate::model::ControllerSettings;
use crate::model::*;
use crate::planner::{Plan, PlannedWrite, apply, plan};

pub(crate) use render::render;

/// Parses an address.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Parses a prefix.
pub(crate) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// A selector of one label.
pub(crate) fn mk_selector(key: &str, value: &str) -> LabelSelector {
    LabelSelector { match_labels: mk_labels(&[(key, value)]), match_expressions: vec![] }
}

pub(crate) fn mk_labels(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// A pool `name` of `first-last` ranges, open to every namespace, gateways labelled `gw=yes`.
pub(crate) fn mk_pool(name: &str, ranges: &[(&str, &str)]) -> Pool {
    let range = |(first, last): &(&str, &str)| AddressRange::new(ip(first), ip(last)).unwrap();
    Pool {
        name: name.into(),
        uid: name.into(),
        generation: 1,
        created: Timestamp(1000),
        provider: ProviderKind::L2,
        discovery_tags: Default::default(),
        ranges: ranges.iter().map(range).collect(),
        reserved: BTreeSet::new(),
        gateways: mk_selector("gw", "yes"),
        rebalances: true,
        max_addresses_per_node: 50,
        allowed_namespaces: Some(LabelSelector::default()),
        ports_per_node: 1024,
        failover: Failover {
            lease: None,
            failback: Failback::Never,
            release_after: Millis::from_secs(3600),
        },
        paused: false,
        accepts_unsupported_dataplane: false,
    }
}

pub(crate) fn mk_ref(name: &str) -> ClaimRef {
    match name.split_once('/') {
        Some((namespace, name)) => {
            ClaimRef { namespace: Some(namespace.into()), name: name.into() }
        }
        None => ClaimRef { namespace: None, name: name.into() },
    }
}

/// A claim of one address from `pool` for the pods labelled `app=<name>`.
pub(crate) fn mk_claim(name: &str, pool: &str) -> Claim {
    let reference = mk_ref(name);
    Claim {
        uid: Uid::new(format!("uid-{name}")),
        generation: 1,
        created: Timestamp(2000),
        pool: pool.into(),
        addresses: vec![],
        count: 1,
        families: None,
        pods: PodSelection::Labels(mk_selector("app", &reference.name)),
        namespaces: None,
        destinations: None,
        when_unavailable: WhenUnavailable::Drop,
        further: vec![],
        reference,
    }
}

/// A claim of named addresses.
pub(crate) fn mk_explicit(name: &str, pool: &str, addresses: &[&str]) -> Claim {
    let addresses = addresses.iter().map(|text| ip(text)).collect();
    Claim { addresses, ..mk_claim(name, pool) }
}

/// A pod `namespace/name` labelled `app=<app>`.
pub(crate) fn mk_pod(name: &str, app: &str, node: &str, sources: &[&str]) -> Pod {
    let (namespace, name) = name.split_once('/').unwrap();
    Pod {
        namespace: namespace.into(),
        name: name.into(),
        labels: mk_labels(&[("app", app)]),
        node: node.into(),
        host_network: false,
        sources: sources.iter().map(|text| net(text)).collect(),
        uid: Uid::new(format!("uid-{namespace}-{name}")),
        created: Timestamp(3000),
        terminating: false,
    }
}

/// A store, a clock and the leader's memory.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) snapshot: Snapshot,
    pub(crate) memory: LeaderMemory,
    pub(crate) settings: ControllerSettings,
    pub(crate) now: Timestamp,
    pub(crate) counter: u64,
}

impl Fixture {
    /// No objects at all.
    pub(crate) fn empty() -> Self {
        Self {
            snapshot: Snapshot::default(),
            memory: LeaderMemory::default(),
            settings: ControllerSettings::new("test"),
            now: Timestamp(1_000_000),
            counter: 1,
        }
    }

    /// Three gateways g1, g2, g3 in zones a, b, c and two directors d1, d2; one pool `partners`.
    pub(crate) fn small() -> Self {
        let mut world = Self::empty();
        for (number, name, gateway) in
            [(1, "g1", true), (2, "g2", true), (3, "g3", true), (4, "d1", false), (5, "d2", false)]
        {
            let zone = ["a", "b", "c", "a", "b"][number - 1];
            world.node(name, number, gateway, zone);
        }
        world.pool(mk_pool("partners", &[("192.0.2.100", "192.0.2.131")]));
        world
    }

    /// A node with an agent that may vote. Its number gives it its addresses.
    pub(crate) fn node(&mut self, name: &str, number: usize, gateway: bool, zone: &str) {
        let endpoint = ip(&format!("192.0.2.{number}"));
        let node = Node {
            name: name.into(),
            labels: mk_labels(if gateway { &[("gw", "yes")] } else { &[] }),
            cordoned: false,
            addresses: BTreeSet::from([endpoint]),
            pod_cidrs: vec![net(&format!("10.244.{number}.0/24"))],
            pod_cidrs_reading: Default::default(),
            zone: zone.into(),
            provider_id: String::new(),
            awaits_agent: false,
            leaving: None,
            tunnel_endpoint: Default::default(),
        };
        self.snapshot.nodes.insert(name.into(), node);
        let status = EgressNodeStatus {
            endpoints: vec![endpoint],
            peer_port: 4790,
            public_key: Some(PublicKey([u8::try_from(number).unwrap(); 32])),
            uplinks: vec![Uplink {
                name: "eth0".into(),
                subnets: vec![net("192.0.2.0/24"), net("2001:db8:1::/64")],
                ..Uplink::default()
            }],
            may_vote: Some("boot".into()),
            ..EgressNodeStatus::default()
        };
        let value = EgressNode {
            name: name.into(),
            spec: EgressNodeSpec::default(),
            status,
            deleting: false,
        };
        self.snapshot
            .egress_nodes
            .insert(name.into(), Stored { version: ResourceVersion::default(), value });
    }

    pub(crate) fn pool(&mut self, pool: Pool) {
        let stored = Stored {
            version: ResourceVersion::default(),
            value: (pool.clone(), PoolStatus::default()),
        };
        self.snapshot.pools.insert(pool.name, stored);
    }

    pub(crate) fn edit_pool(&mut self, name: &str, edit: impl FnOnce(&mut Pool)) {
        edit(&mut self.snapshot.pools.get_mut(&name.into()).unwrap().value.0);
    }

    pub(crate) fn claim(&mut self, claim: Claim) {
        let reference = claim.reference.clone();
        let stored =
            Stored { version: ResourceVersion::default(), value: (claim, ClaimStatus::default()) };
        self.snapshot.claims.insert(reference, stored);
    }

    pub(crate) fn edit_claim(&mut self, name: &str, edit: impl FnOnce(&mut Claim)) {
        edit(&mut self.snapshot.claims.get_mut(&mk_ref(name)).unwrap().value.0);
    }

    pub(crate) fn delete_claim(&mut self, name: &str) {
        self.snapshot.claims.remove(&mk_ref(name)).unwrap();
    }

    pub(crate) fn pod(&mut self, pod: Pod) {
        self.snapshot.pods.insert((pod.namespace.clone(), pod.name.clone()), pod);
    }

    pub(crate) fn status(&mut self, node: &str) -> &mut EgressNodeStatus {
        &mut self.snapshot.egress_nodes.get_mut(&node.into()).unwrap().value.status
    }

    pub(crate) fn spec(&mut self, node: &str) -> &mut EgressNodeSpec {
        &mut self.snapshot.egress_nodes.get_mut(&node.into()).unwrap().value.spec
    }

    pub(crate) fn address(&self, address: &str) -> &EgressAddress {
        &self.snapshot.addresses[&ip(address)].value
    }

    pub(crate) fn edit_plan(&mut self, address: &str, edit: impl FnOnce(&mut AddressPlan)) {
        edit(&mut self.snapshot.addresses.get_mut(&ip(address)).unwrap().value.plan);
    }

    /// `node` writes that it holds the address.
    pub(crate) fn hold(&mut self, address: IpAddr, node: &str, counter: u64) {
        let status = &mut self.snapshot.addresses.get_mut(&address).unwrap().value.status;
        let epoch = Epoch { counter, node: node.into() };
        status.holding = Some(Holding { node: node.into(), epoch });
    }

    /// Every owner holds what it owns.
    pub(crate) fn hold_all(&mut self) {
        for stored in self.snapshot.addresses.values_mut() {
            let Some(owner) = stored.value.plan.owner.clone() else { continue };
            let holding = &mut stored.value.status.holding;
            if holding.as_ref().map(|holding| &holding.node) != Some(&owner) {
                let counter = holding.as_ref().map_or(0, |holding| holding.epoch.counter) + 1;
                let epoch = Epoch { counter, node: owner.clone() };
                *holding = Some(Holding { node: owner, epoch });
            }
        }
    }

    /// Every agent that is not in `dead` acknowledges all that it can read.
    pub(crate) fn acknowledge(&mut self, dead: &[&str]) {
        let set = self.snapshot.cluster.as_ref().and_then(|c| c.value.set.as_ref());
        let set = set.map_or(0, |set| set.number);
        let newest = crate::node_config::newest_block_number(&self.snapshot);
        let fences: BTreeMap<IpAddr, u64> =
            self.snapshot.addresses.iter().map(|(a, s)| (*a, s.value.plan.fence)).collect();
        for (name, node) in &mut self.snapshot.egress_nodes {
            if !dead.contains(&name.as_str()) {
                node.value.status.acknowledged_set = set;
                node.value.status.acknowledged_blocks = newest;
                node.value.status.acknowledged_fences = fences.clone();
            }
        }
    }

    /// Every agent but the named ones says that these are absent.
    pub(crate) fn absent(&mut self, dead: &[&str]) {
        let absent: BTreeSet<NodeName> = dead.iter().map(|name| NodeName::from(*name)).collect();
        for (name, node) in &mut self.snapshot.egress_nodes {
            if !absent.contains(name) {
                node.value.status.absent = absent.clone();
            }
        }
    }

    pub(crate) fn plan(&mut self) -> Plan {
        self.memory.observe(&self.snapshot, self.now);
        let plan = plan(&self.snapshot, &self.memory, &self.settings, self.now);
        self.memory.note_awaited(&plan.timed, self.now);
        plan
    }

    /// Plans, draws numbers and returns the writes.
    pub(crate) fn writes(&mut self) -> Vec<PlannedWrite> {
        let plan = self.plan();
        let first = self.counter;
        self.counter += plan.numbers;
        plan.fill(first)
    }

    /// Plans and carries out.
    pub(crate) fn step(&mut self) -> Vec<PlannedWrite> {
        let writes = self.writes();
        for planned in &writes {
            apply(&mut self.snapshot, &planned.write);
        }
        writes
    }

    /// Agents and leader go on until nothing changes: quiet times.
    pub(crate) fn settle(&mut self) {
        for _ in 0..30 {
            let writes = self.step();
            let before = self.snapshot.clone();
            self.hold_all();
            self.acknowledge(&[]);
            if writes.is_empty() && before == self.snapshot {
                return;
            }
        }
        panic!("never quiet: {}", render(&self.plan()));
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now = self.now + Millis::from_secs(seconds);
    }
}
