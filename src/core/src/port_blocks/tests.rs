use proptest::prelude::*;

use super::*;
use crate::model::ProviderKind;
use crate::model::{PortRange, Timestamp};
use crate::testing::{Fixture, ip, mk_claim, mk_explicit, mk_pod, mk_ref};

fn ports(first: u16, last: u16) -> PortRange {
    PortRange::new(first, last).unwrap()
}

const BANK: &str = "192.0.2.100";

fn quiet() -> Fixture {
    let mut world = Fixture::small();
    world.claim(mk_claim("payments/bank", "partners"));
    world.settle();
    world
}

fn grants<'a>(world: &'a Fixture, node: &str) -> &'a [BlockGrant] {
    &world.snapshot.egress_nodes[&node.into()].value.spec.blocks
}

#[test]
fn sizes_leave_half_of_the_ports_free() {
    assert_eq!(default_size(1, 1024), 1024);
    assert_eq!(default_size(5, 1024), 1024);
    assert_eq!(default_size(5, 8192), 4096);
    assert_eq!(default_size(31, 1024), 1024);
    assert_eq!(default_size(32, 1024), 512);
    assert_eq!(default_size(252, 1024), 128);
    assert_eq!(default_size(1000, 1024), 128);
    assert_eq!(default_size(0, 0), 128);
    assert_eq!(default_size(usize::MAX, u16::MAX), 128);
}

#[test]
fn a_new_block_leaves_its_neighbour_free_and_growth_takes_it() {
    let mut space = PortSpace::default();
    let first = space.find(&[], 1024).unwrap();
    assert_eq!(first, ports(2048, 3071));
    space.take(first);
    let second = space.find(&[], 1024).unwrap();
    assert_eq!(second, ports(4096, 5119));
    space.take(second);
    let grown = space.find(&[first], 1024).unwrap();
    assert_eq!(grown, ports(1024, 2047));
    space.take(grown);
    assert_eq!(space.find(&[first, grown], 1024).unwrap(), ports(3072, 4095));
}

#[test]
fn a_full_address_gives_smaller_blocks_then_none() {
    let mut space = PortSpace::default();
    space.take(ports(1024, 65_279));
    assert_eq!(space.find(&[], 1024), Some(ports(65_280, 65_535)));
    space.take(ports(65_280, 65_407));
    assert_eq!(space.find(&[], 1024), Some(ports(65_408, 65_535)));
    space.take(ports(65_408, 65_535));
    assert_eq!(space.find(&[], 1024), None);
    // Below 1024 nothing is ever given.
    assert_eq!(PortSpace::default().find(&[ports(1024, 1151)], 128), Some(ports(1152, 1279)));
}

proptest! {
    #[test]
    fn blocks_are_aligned_disjoint_and_in_range(
        asks in prop::collection::vec((7u32..14, 0usize..6), 1..200),
    ) {
        let mut space = PortSpace::default();
        let mut mine: Vec<Vec<PortRange>> = vec![vec![]; 6];
        for (bits, node) in asks {
            let Some(block) = space.find(&mine[node], 1 << bits) else { continue };
            prop_assert!(block.first() >= FIRST_PORT);
            prop_assert!(block.size().is_power_of_two());
            prop_assert_eq!(u32::from(block.first()) % block.size(), 0);
            for other in mine.iter().flatten() {
                prop_assert!(!other.overlaps(&block), "{} overlaps {}", block, other);
            }
            space.take(block);
            mine[node].push(block);
        }
    }
}

#[test]
fn small_clusters_are_granted_ahead_and_large_ones_by_need() {
    let world = quiet();
    assert!(["g1", "g2", "g3", "d1", "d2"].iter().all(|node| grants(&world, node).len() == 1));
    let mut world = Fixture::empty();
    for number in 1..=17 {
        world.node(&format!("n{number}"), number, number < 3, "");
    }
    world.pool(crate::testing::mk_pool("partners", &[("192.0.2.100", "192.0.2.131")]));
    world.claim(mk_claim("payments/bank", "partners"));
    world.settle();
    assert!(grants(&world, "n9").is_empty());
    world.pod(mk_pod("payments/p", "bank", "n9", &["10.244.9.7/32"]));
    let needs = needs(&world.snapshot, &"n9".into(), &BTreeMap::new());
    assert_eq!(needs, BTreeMap::from([(ip(BANK), 1)]));
    world.status("n9").block_needs = needs;
    world.settle();
    assert_eq!(grants(&world, "n9").len(), 1);
    assert!(grants(&world, "n8").is_empty());
}

#[test]
fn growth_is_adjacent_and_shrinking_ends_the_newest() {
    let mut world = quiet();
    let first = grants(&world, "d1")[0].clone();
    world.status("d1").block_needs.insert(ip(BANK), 2);
    world.settle();
    let both = grants(&world, "d1").to_vec();
    assert_eq!(both.len(), 2);
    let adjacent = u32::from(both[0].ports.last()) + 1 == u32::from(both[1].ports.first());
    assert!(adjacent, "{both:?}");
    assert!(both.iter().any(|grant| grant.epoch > first.epoch));
    world.status("d1").block_needs.insert(ip(BANK), 1);
    world.settle();
    let ended: Vec<_> = grants(&world, "d1").iter().filter(|g| g.ended.is_some()).collect();
    assert_eq!(ended.len(), 1);
    assert_ne!(ended[0].ports, first.ports);
    // A need that is no longer said keeps what there is.
    world.status("d1").block_needs.clear();
    world.settle();
    assert!(grants(&world, "d1").iter().any(|g| g.ended.is_none()));
}

#[test]
fn a_dead_directors_ports_rest_before_anybody_else_gets_them() {
    let mut world = quiet();
    let theirs = grants(&world, "d2")[0].ports;
    world.absent(&["d2"]);
    world.settle();
    world.pass(300);
    world.step();
    let grant = grants(&world, "d2")[0].clone();
    assert!(grant.ended.is_some_and(|ended| ended > grant.epoch));
    // A gateway that has not acknowledged: no quarantine, and a reason.
    world.acknowledge(&["g1", "d2"]);
    world.step();
    world.pass(600);
    let plan = world.plan();
    assert_eq!(plan.waiting.len(), 1);
    assert_eq!(plan.waiting[0].gateway.as_str(), "g1");
    world.acknowledge(&["d2"]);
    world.step();
    assert_eq!(grants(&world, "d2")[0].quarantined_since, Some(world.now));
    // Somebody who wants every port does not get these for 120 s.
    world.status("d1").block_needs.insert(ip(BANK), 1000);
    world.step();
    world.pass(119);
    world.step();
    assert!(grants(&world, "d1").iter().all(|grant| !grant.ports.overlaps(&theirs)));
    assert!(!world.plan().short_of_ports.is_empty());
    world.pass(1);
    world.step();
    assert!(grants(&world, "d2").is_empty());
    assert!(grants(&world, "d1").iter().all(|grant| !grant.ports.overlaps(&theirs)));
    world.step();
    assert!(grants(&world, "d1").iter().any(|grant| grant.ports.overlaps(&theirs)));
}

#[test]
fn a_node_that_comes_back_gets_a_new_block() {
    let mut world = quiet();
    world.absent(&["d2"]);
    world.settle();
    world.pass(300);
    world.settle();
    world.absent(&[]);
    world.settle();
    let live: Vec<_> = grants(&world, "d2").iter().filter(|g| g.ended.is_none()).collect();
    assert_eq!(live.len(), 1);
    let ended: Vec<_> = grants(&world, "d2").iter().filter(|g| g.ended.is_some()).collect();
    assert_eq!(ended.len(), 1);
    assert!(live[0].epoch > ended[0].epoch);
}

#[test]
fn a_gateway_whose_object_is_gone_keeps_no_revoked_address_from_being_free() {
    let mut world = quiet();
    let standby = world.address(BANK).plan.standbys[0].clone();
    world.delete_claim("payments/bank");
    world.step();
    world.pass(3600);
    world.settle();
    assert!(world.address(BANK).plan.is_revoked());
    world.snapshot.egress_nodes.remove(&standby).unwrap();
    world.settle();
    world.pass(130);
    world.settle();
    assert!(!world.snapshot.addresses.contains_key(&ip(BANK)), "{:?}", world.plan().waiting);
}

#[test]
fn a_paused_pool_ends_no_block() {
    let mut world = quiet();
    world.edit_pool("partners", |pool| pool.paused = true);
    world.absent(&["d2"]);
    world.settle();
    world.pass(1000);
    world.settle();
    assert_eq!(grants(&world, "d2")[0].ended, None);
}

#[test]
fn a_node_uses_one_address_of_a_claim_and_keeps_it() {
    let addresses: Vec<_> = (100..108).map(|n| ip(&format!("192.0.2.{n}"))).collect();
    let nodes: Vec<NodeName> = (0..200).map(|n| NodeName::new(format!("n{n}"))).collect();
    let mut used: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for node in &nodes {
        let all = ranked(&addresses, node, Family::IPv4);
        *used.entry(all[0]).or_default() += 1;
        let fewer = ranked(&addresses[1..], node, Family::IPv4);
        assert!(all[0] == addresses[0] || all[0] == fewer[0], "one that did not use it has moved");
        assert!(ranked(&addresses, node, Family::IPv6).is_empty());
    }
    assert_eq!(used.len(), 8);
    assert!(used.values().all(|count| (10..=45).contains(count)), "{used:?}");
}

#[test]
fn where_a_fabric_fences_each_node_has_a_spare_block_while_half_of_the_ports_are_free() {
    let both = ["192.0.2.101", "192.0.2.102"];
    let mut world = Fixture::small();
    world.claim(mk_explicit("payments/bank", "partners", &both));
    world.settle();
    let of_d1 = |world: &Fixture| {
        let mine = grants(world, "d1");
        both.map(|address| mine.iter().filter(|grant| grant.address == ip(address)).count())
    };
    let ranked = ranked(&both.map(ip), &"d1".into(), Family::IPv4);
    let only_first = both.map(|address| usize::from(ip(address) == ranked[0]));
    assert_eq!(of_d1(&world), only_first);
    for address in both {
        world.edit_plan(address, |plan| plan.provider = ProviderKind::Aws);
    }
    let crowded = BlockGrant {
        address: ranked[1],
        ports: ports(32_768, 65_535),
        epoch: 1,
        ended: None,
        quarantined_since: None::<Timestamp>,
    };
    world.spec("d2").blocks.retain(|grant| grant.address != ranked[1]);
    world.spec("d2").blocks.push(crowded);
    world.step();
    assert_eq!(of_d1(&world), only_first, "half of the ports are for what nodes need");
    world.spec("d2").blocks.retain(|grant| grant.address != ranked[1]);
    world.step();
    assert_eq!(of_d1(&world), [1, 1]);
    world.status("d1").block_needs = BTreeMap::from([(ranked[0], 1)]);
    world.settle();
    assert_eq!(of_d1(&world), [1, 1], "a node does not name its spare, and keeps it");
}

#[test]
fn needs_follow_pods_and_pressure() {
    let mut world = quiet();
    let me = NodeName::from("d1");
    assert!(needs(&world.snapshot, &me, &BTreeMap::new()).is_empty());
    let mut host = mk_pod("payments/host", "bank", "d1", &["192.0.2.4/32"]);
    host.host_network = true;
    world.pod(host);
    assert!(needs(&world.snapshot, &me, &BTreeMap::new()).is_empty());
    world.pod(mk_pod("payments/p", "bank", "d1", &["10.244.4.7/32"]));
    assert_eq!(needs(&world.snapshot, &me, &BTreeMap::new())[&ip(BANK)], 1);
    let pressure = BTreeMap::from([(ip(BANK), 3), (ip("192.0.2.109"), 2)]);
    let with_pressure = needs(&world.snapshot, &me, &pressure);
    assert_eq!(with_pressure, BTreeMap::from([(ip(BANK), 3)]), "an unknown address is nobody's");
    let bound = bound(&world.snapshot);
    assert_eq!(bound[&mk_ref("payments/bank")], BTreeSet::from([ip(BANK)]));
}

#[test]
fn surplus_is_the_newest() {
    let grant = |epoch, first| BlockGrant {
        address: ip(BANK),
        ports: ports(first, first + 127),
        epoch,
        ended: None,
        quarantined_since: None::<Timestamp>,
    };
    let grants = [grant(5, 2048), grant(3, 4096), grant(9, 1024)];
    assert_eq!(surplus(&grants, 1), [grants[0].clone(), grants[2].clone()]);
    assert_eq!(surplus(&grants, 3), []);
    assert_eq!(surplus(&grants, u32::MAX), []);
}

#[test]
fn of_two_grants_of_one_range_the_later_is_void_everywhere_and_ended() {
    let mut world = quiet();
    let address = ip(BANK);
    let first = grants(&world, "d1").iter().find(|grant| grant.address == address).unwrap().clone();
    let twice = BlockGrant { epoch: first.epoch + 1000, ..first.clone() };
    world.spec("d2").blocks.push(twice.clone());
    assert_eq!(conflicting_grants(&world.snapshot), [(NodeName::from("d2"), twice)].into());
    let gateway = crate::node_config::gateway_blocks(&world.snapshot);
    assert_eq!(gateway[&(address, first.ports)].node, NodeName::from("d1"));
    let mine = crate::node_config::granted_blocks(&world.snapshot, &"d2".into());
    assert!(mine.get(&address).is_none_or(|blocks| !blocks.contains_key(&first.ports)));
    world.step();
    let ended = grants(&world, "d2").iter().find(|grant| grant.ports == first.ports).unwrap();
    assert!(ended.ended.is_some());
    assert!(grants(&world, "d1").contains(&first));
}
