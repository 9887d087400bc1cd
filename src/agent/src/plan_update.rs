//! From a snapshot to what the lease thread needs of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::conditions::on_interface;
use egret_core::lease::{AddressView, ClusterView, PlanView, UplinkReach};
use egret_core::membership::liveness;
use egret_core::model::{
    Attachment, EgressAddress, EgressNode, NodeName, PoolName, Snapshot, Stored, VoterSet,
};
use egret_core::node_config::{directors_of, nodes_of, planned_for};
use egret_datapath::host::HostUplink;
use egret_peers::Peer;
use ipnet::IpNet;

use crate::address_status::{is_foreign_host, parse_mac};
use crate::lease_thread::{CarryingLink, PlanUpdate};
use crate::uplink_reach::UplinkReaches;
use crate::uplink_selection::link_for;

/// So many addresses of its uplinks at most does a node program: the map has room for egress addresses first.
const HOST_ADDRESSES: usize = 64;

/// What this host is like by now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostState<'a> {
    pub(crate) uplinks: &'a [HostUplink],
    pub(crate) reaches: &'a UplinkReaches,
    /// Egress addresses that it has on an interface, and on which.
    pub(crate) local: &'a BTreeMap<IpAddr, String>,
}

/// The update for this node. `newer` is a voter set that a peer's refusal carried: its members are
/// reachable even where the store does not name them yet.
pub(crate) fn update(
    snapshot: &Snapshot,
    me: &NodeName,
    host: HostState<'_>,
    newer: Option<&VoterSet>,
) -> PlanUpdate {
    let HostState { uplinks, reaches, local } = host;
    let mut view = view(snapshot);
    let planned = planned_for(snapshot, me);
    let links = view
        .addresses
        .iter()
        .map(|(address, plan)| {
            let at = attachment(snapshot, *address, me);
            let mut link = link_for(*address, at, plan.no_deadline, uplinks);
            link.uplink = link.uplink.filter(|_| planned.contains_key(address));
            (*address, link)
        })
        .collect();
    note_reach(&mut view, &links, reaches);
    let endpoints = snapshot
        .egress_nodes
        .iter()
        .map(|(name, node)| (name.clone(), node.value.status.endpoints.clone()))
        .filter(|(_, endpoints)| !endpoints.is_empty())
        .collect();
    let local = local.keys().copied().collect();
    let in_cloud = snapshot.addresses.values().any(|at| at.value.plan.facts().cloud_places());
    let host = if in_cloud { BTreeSet::new() } else { host_addresses(&view, uplinks) };
    let (peers, harmless) = (peers(snapshot, me, newer), harmless(snapshot, me));
    PlanUpdate { peers, view, endpoints, links, local, host, harmless }
}

/// Notes of each address whether what carries it here reaches its network; in a cloud the cloud's own way counts.
pub(crate) fn note_reach(
    view: &mut PlanView,
    links: &BTreeMap<IpAddr, CarryingLink>,
    reaches: &UplinkReaches,
) {
    for (address, plan) in view.addresses.iter_mut().filter(|(_, plan)| plan.is_on_link()) {
        let carrying = links.get(address).and_then(|link| Some(link.uplink?.index));
        plan.reach = reaches.of(carrying, *address);
    }
}

/// What a pod of another node cannot reach through this one: nobody outside answers for an address of an
/// uplink of this host, such as kube-vip's. Other interfaces are none of it: an address that a bridge has
/// here may be another host's out there. Not for a cloud, whose router may send the packet back.
pub(crate) fn host_addresses(view: &PlanView, uplinks: &[HostUplink]) -> BTreeSet<IpAddr> {
    let all = uplinks.iter().flat_map(|uplink| uplink.addresses.iter().map(IpNet::addr));
    let own: BTreeSet<IpAddr> =
        all.filter(|address| !view.addresses.contains_key(address)).collect();
    own.into_iter().take(HOST_ADDRESSES).collect()
}

/// What a node that is gone has said of its interfaces is over.
fn harmless(snapshot: &Snapshot, me: &NodeName) -> BTreeMap<IpAddr, BTreeSet<[u8; 6]>> {
    let (addresses, nodes) = (&snapshot.addresses, &snapshot.egress_nodes);
    let mut unheard = liveness::unheard(snapshot);
    unheard.remove(me);
    let mut macs: BTreeMap<IpAddr, BTreeSet<[u8; 6]>> = BTreeMap::new();
    for (address, stored) in addresses {
        let status = &stored.value.status;
        // Of one that never answered the network has kept nothing: it is a host that answers.
        let Some(holding) = status.holding.as_ref().filter(|_| status.probed) else { continue };
        let dead = nodes.get(&holding.node).filter(|_| unheard.contains(&holding.node));
        // Its agent may be all that is gone.
        let dead = dead.filter(|node| !node.value.status.local_addresses.contains_key(address));
        if let Some(node) = dead {
            macs.entry(*address).or_default().extend(uplink_macs(node));
        }
    }
    for (_, node) in nodes.iter().filter(|(name, _)| !unheard.contains(*name)) {
        for address in node.value.status.local_addresses.keys() {
            if addresses.get(address).is_some_and(|its| its.value.was_held_since_its_end()) {
                macs.entry(*address).or_default().extend(uplink_macs(node));
            }
        }
    }
    macs
}

fn uplink_macs(node: &Stored<EgressNode>) -> impl Iterator<Item = [u8; 6]> {
    let uplinks = node.value.status.uplinks.iter();
    uplinks.filter_map(|uplink| parse_mac(uplink.mac.as_deref()?))
}

/// How a cloud delivers, or would deliver, an address to this node.
pub(crate) fn attachment<'a>(
    snapshot: &'a Snapshot,
    address: IpAddr,
    me: &NodeName,
) -> Option<&'a Attachment> {
    snapshot.addresses.get(&address)?.value.status.attachment_at(me)
}

/// Everything that a cloud delivers, or would deliver, to this node.
pub(crate) fn attachments<'a>(
    snapshot: &'a Snapshot,
    me: &'a NodeName,
) -> impl Iterator<Item = (IpAddr, &'a Attachment)> {
    let all = snapshot.addresses.iter();
    all.filter_map(|(address, stored)| Some((*address, stored.value.status.attachment_at(me)?)))
}

fn view(snapshot: &Snapshot) -> PlanView {
    let pools = gateways_by_pool(snapshot);
    let cluster = snapshot.cluster.as_ref().map(|stored| ClusterView {
        id: stored.value.id.clone(),
        set: stored.value.set.clone(),
        t_max: stored.value.t_max,
    });
    let addresses = snapshot
        .addresses
        .iter()
        .map(|(address, stored)| (*address, address_view(snapshot, &stored.value, &pools)))
        .collect();
    PlanView { cluster, addresses, nodes: snapshot.egress_nodes.keys().cloned().collect() }
}

fn address_view(
    snapshot: &Snapshot,
    address: &EgressAddress,
    pools: &BTreeMap<&PoolName, BTreeSet<NodeName>>,
) -> AddressView {
    let plan = &address.plan;
    let facts = plan.facts();
    AddressView {
        owner: plan.owner.clone(),
        standbys: plan.standbys.clone(),
        fence: plan.fence,
        lease: plan.lease,
        made_for: plan.made_for.clone(),
        holding: address.status.holding.clone(),
        probed: address.status.probed,
        revoked: plan.is_revoked(),
        paused: plan.paused,
        no_deadline: facts.fabric_fences(),
        attached: address.status.attachment.as_ref().map(|at| at.node.clone()),
        announces: facts.announcement().is_some(),
        directors: directors_of(snapshot, address.address),
        gateways: pools.get(&plan.pool).cloned().unwrap_or_default(),
        announcement: facts.announcement().unwrap_or_default(),
        accepted: address.status.accepted.as_ref().map(|at| at.node.clone()),
        foreign_host: address.status.conditions.iter().any(is_foreign_host),
        on_interface: on_interface(snapshot, address.address).is_some(),
        was_held: address.was_held_since_its_end(),
        reach: UplinkReach::default(),
    }
}

/// Every node in the plan of any address of a pool: those are the gateways that may have frames of
/// a sibling to relay.
fn gateways_by_pool(snapshot: &Snapshot) -> BTreeMap<&PoolName, BTreeSet<NodeName>> {
    let mut pools: BTreeMap<&PoolName, BTreeSet<NodeName>> = BTreeMap::new();
    for stored in snapshot.addresses.values() {
        let gateways = nodes_of(&stored.value).into_iter().cloned();
        pools.entry(&stored.value.plan.pool).or_default().extend(gateways);
    }
    pools
}

fn peers(snapshot: &Snapshot, me: &NodeName, newer: Option<&VoterSet>) -> BTreeMap<NodeName, Peer> {
    let mut peers = BTreeMap::new();
    let stored = snapshot.cluster.as_ref().and_then(|cluster| cluster.value.set.as_ref());
    for voter in stored.into_iter().chain(newer).flat_map(|set| &set.members) {
        let peer = Peer {
            endpoints: voter.endpoints.clone(),
            port: voter.peer_port,
            public_key: voter.public_key,
        };
        peers.insert(voter.node.clone(), peer);
    }
    // What a node says of itself is newer than what the set remembers.
    for (name, node) in &snapshot.egress_nodes {
        let status = &node.value.status;
        if let (Some(public_key), false) = (status.public_key, status.endpoints.is_empty()) {
            let endpoints: Vec<IpAddr> = status.endpoints.clone();
            peers.insert(name.clone(), Peer { endpoints, port: status.peer_port, public_key });
        }
    }
    peers.remove(me);
    peers
}

#[cfg(test)]
mod tests {
    use egret_core::model::{
        Cluster, EgressNodeStatus, Epoch, Holding, Millis, ProviderKind, PublicKey,
        ResourceVersion, Uplink, Voter,
    };

    use super::*;
    use crate::testing::{put_address, put_node};

    const HELD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 17));

    /// g1, g2 and g3 vote; each has an uplink with the last digit of its MAC address. g1 held an address.
    fn snapshot(absent: &[(&str, &str)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let names = ["g1", "g2", "g3"];
        for (number, name) in names.iter().enumerate() {
            let mac = Some(format!("02:00:00:00:00:0{}", number + 1));
            let uplinks = vec![Uplink { name: "eth0".into(), mac, ..Uplink::default() }];
            let said = absent.iter().filter(|(voter, _)| voter == name);
            let absent = said.map(|(_, node)| NodeName::from(*node)).collect();
            let status = EgressNodeStatus { uplinks, absent, ..EgressNodeStatus::default() };
            put_node(&mut snapshot, name, status);
        }
        put_address(&mut snapshot, HELD, |put| {
            put.status.holding =
                Some(Holding { node: "g1".into(), epoch: Epoch { counter: 1, node: "g1".into() } });
            put.status.probed = true;
        });
        let voter = |name: &&str| Voter {
            node: (**name).into(),
            endpoints: Vec::new(),
            peer_port: 4790,
            public_key: PublicKey([1; 32]),
        };
        let set = VoterSet { number: 1, members: names.iter().map(voter).collect() };
        let (t_max, ranges) = (Millis(10_000), Default::default());
        let cluster =
            Cluster { id: "c".into(), set: Some(set), t_max, ranges, uninstalling: false };
        let version = ResourceVersion("1".to_owned());
        snapshot.cluster = Some(Stored { version, value: cluster });
        snapshot
    }

    #[test]
    fn the_network_answers_for_the_last_holder_where_a_majority_does_not_hear_it() {
        let of = |absent: &[(&str, &str)], me: &str| harmless(&snapshot(absent), &me.into());
        assert!(of(&[], "g2").is_empty());
        assert!(of(&[("g2", "g1")], "g2").is_empty(), "one voter is no majority");
        let both = [("g2", "g1"), ("g3", "g1")];
        assert_eq!(of(&both, "g2"), [(HELD, [[2, 0, 0, 0, 0, 1]].into())].into());
        assert!(of(&both, "g1").is_empty(), "who asks lives");
        let other = [("g1", "g3"), ("g2", "g3")];
        assert!(of(&other, "g2").is_empty(), "g3 did not hold it");
        let mut kept_off = snapshot(&both);
        kept_off.addresses.get_mut(&HELD).unwrap().value.status.probed = false;
        assert!(harmless(&kept_off, &"g2".into()).is_empty(), "a host answers, g1 never did");
        let mut has_it = snapshot(&both);
        let g1 = has_it.egress_nodes.get_mut(&"g1".into()).unwrap();
        g1.value.status.local_addresses.insert(HELD, "vip0".to_owned());
        assert!(harmless(&has_it, &"g2".into()).is_empty(), "its host may live");
    }

    #[test]
    fn a_node_that_has_it_on_an_interface_keeps_nobody_off_while_it_is_heard_and_where_it_was_held()
    {
        const G3: [u8; 6] = [2, 0, 0, 0, 0, 3];
        let of = |absent: &[(&str, &str)], held: Option<u64>, fence: u64| {
            let mut snapshot = snapshot(absent);
            let node = snapshot.egress_nodes.get_mut(&"g3".into()).unwrap();
            node.value.status.local_addresses.insert(HELD, "vip0".to_owned());
            let address = &mut snapshot.addresses.get_mut(&HELD).unwrap().value;
            (address.status.held_fence, address.plan.fence) = (held, fence);
            let was_held = view(&snapshot).addresses[&HELD].was_held;
            (was_held, harmless(&snapshot, &"g2".into()))
        };
        let known = || BTreeMap::from([(HELD, BTreeSet::from([G3]))]);
        assert_eq!(of(&[], Some(7), 7), (true, known()));
        assert_eq!(of(&[], None, 7), (false, BTreeMap::new()), "never held");
        // Revoked under 8, taken back under 9, and that node has got it in between.
        assert_eq!(of(&[], Some(7), 9), (false, BTreeMap::new()));
        assert_eq!(of(&[("g1", "g3")], Some(7), 7), (true, known()), "one voter is no majority");
        let gone = [("g1", "g3"), ("g2", "g3")];
        assert_eq!(of(&gone, Some(7), 7), (true, BTreeMap::new()), "its word is over");
    }

    #[test]
    fn an_address_without_an_uplink_is_cut_off_but_for_a_clouds() {
        use UplinkReach::{Lost, Steady};
        let (mut snapshot, me) = (snapshot(&[]), NodeName::from("g1"));
        let kinds = [ProviderKind::L2, ProviderKind::Aws, ProviderKind::Gcp];
        for (provider, reach) in kinds.into_iter().zip([Lost, Steady, Steady]) {
            put_address(&mut snapshot, HELD, |put| {
                (put.plan.owner, put.plan.provider) = (Some(me.clone()), provider);
            });
            let (reaches, local) = (UplinkReaches::default(), BTreeMap::new());
            let host = HostState { uplinks: &[], reaches: &reaches, local: &local };
            let told = update(&snapshot, &me, host, None);
            assert_eq!(told.view.addresses[&HELD].reach, reach, "{provider:?}");
            let lost = if reach == Lost { vec![HELD] } else { Vec::new() };
            assert_eq!(told.cut_off(&me), (lost.clone(), lost.clone()));
            assert_eq!(told.cut_off(&"g2".into()), (Vec::new(), lost));
        }
    }

    #[test]
    fn an_address_of_an_uplink_is_the_hosts_own_unless_it_is_planned_or_in_a_cloud() {
        let nets = ["203.0.113.11/24", "203.0.113.17/32", "2001:db8::11/64"];
        let uplink = crate::testing::uplink(2, &nets);
        let (mut snapshot, me, none) = (snapshot(&[]), "g1".into(), BTreeMap::new());
        let of = |snapshot: &Snapshot| {
            let uplinks = std::slice::from_ref(&uplink);
            let host = HostState { uplinks, reaches: &UplinkReaches::default(), local: &none };
            update(snapshot, &me, host, None).host
        };
        let own = ["203.0.113.11", "2001:db8::11"].map(|text| text.parse().unwrap());
        assert_eq!(of(&snapshot), own.into());
        put_address(&mut snapshot, own[0], |put| put.plan.provider = ProviderKind::Aws);
        assert!(of(&snapshot).is_empty());
    }
}
