use std::collections::BTreeSet;

use super::*;
use crate::model::{Attachment, NodeName, ProviderKind, Uplink};
use crate::testing::{Fixture, ip, mk_claim, mk_pool, net};

/// `count` gateways over `zones` zones and a claim of `addresses` addresses.
fn world(gateways: usize, zones: usize, addresses: u32) -> Fixture {
    let mut world = Fixture::empty();
    for number in 1..=gateways {
        world.node(&format!("g{number}"), number, true, &format!("z{}", number % zones));
    }
    world.pool(mk_pool("partners", &[("192.0.2.100", "192.0.2.199")]));
    let mut claim = mk_claim("ns/c", "partners");
    claim.count = addresses;
    world.claim(claim);
    world
}

fn owners(world: &Fixture) -> BTreeMap<String, usize> {
    let mut owners = BTreeMap::new();
    for stored in world.snapshot.addresses.values() {
        if let Some(owner) = &stored.value.plan.owner {
            *owners.entry(owner.to_string()).or_default() += 1;
        }
    }
    owners
}

#[test]
fn addresses_are_spread_evenly_and_a_newcomer_moves_nothing() {
    let mut world = world(4, 4, 20);
    world.settle();
    assert!(owners(&world).values().all(|count| *count == 5), "{:?}", owners(&world));
    let before = owners(&world);
    world.node("g9", 9, true, "z9");
    world.settle();
    assert_eq!(owners(&world), before);
}

#[test]
fn the_addresses_of_a_claim_are_apart_also_where_one_gateway_is_empty() {
    let mut world = world(3, 3, 9);
    world.settle();
    world.node("g9", 9, true, "z9");
    let mut pair = mk_claim("ns/pair", "partners");
    pair.count = 2;
    world.claim(pair);
    world.settle();
    let pair = world.snapshot.addresses.values().map(|stored| &stored.value.plan);
    let pair = pair.filter(|plan| plan.claim.to_string() == "ns/pair");
    let owners: BTreeSet<_> = pair.filter_map(|plan| plan.owner.clone()).collect();
    assert_eq!(owners.len(), 2, "{owners:?}");
}

#[test]
fn the_addresses_of_a_dead_gateway_go_to_its_standbys_which_are_spread() {
    let mut world = world(4, 4, 24);
    world.settle();
    world.absent(&["g1"]);
    let before = world.snapshot.clone();
    world.settle();
    for (address, stored) in &world.snapshot.addresses {
        let old = &before.addresses[address].value.plan;
        let new = &stored.value.plan;
        if old.owner.as_ref().unwrap().as_str() == "g1" {
            assert_eq!(new.owner.as_ref(), old.standbys.first());
        } else {
            assert_eq!(new.owner, old.owner);
        }
    }
    // Six more for three others: two each, give or take one.
    assert!(owners(&world).values().all(|count| (7..=9).contains(count)), "{:?}", owners(&world));
}

#[test]
fn standbys_are_in_other_zones_first() {
    let mut world = world(6, 3, 10);
    world.settle();
    for stored in world.snapshot.addresses.values() {
        let plan = &stored.value.plan;
        let zone = |node: &NodeName| world.snapshot.nodes[node].zone.clone();
        let first_three: BTreeSet<String> =
            plan.owner.iter().chain(&plan.standbys[..2]).map(zone).collect();
        assert_eq!(first_three.len(), 3, "{plan:?}");
        assert_eq!(plan.standbys.len(), MAX_STANDBYS);
    }
}

#[test]
fn no_node_owns_more_than_the_pool_allows() {
    let mut world = world(3, 1, 10);
    world.edit_pool("partners", |pool| pool.max_addresses_per_node = 3);
    world.settle();
    assert!(owners(&world).values().all(|count| *count == 3));
    let unowned: Vec<_> =
        world.snapshot.addresses.values().filter(|s| s.value.plan.owner.is_none()).collect();
    assert_eq!(unowned.len(), 1);
    assert_eq!(unowned[0].value.status.conditions[0].reason, "NoGateway");
    assert!(world.snapshot.addresses.values().all(|s| s.value.plan.standbys.is_empty()));
    world.edit_pool("partners", |pool| pool.max_addresses_per_node = 4);
    world.settle();
    assert_eq!(owners(&world).values().sum::<usize>(), 10);
}

#[test]
fn who_may_carry_an_address_and_why_not() {
    let mut world = world(6, 3, 1);
    world.settle();
    let labels = &mut world.snapshot.nodes.get_mut(&"g1".into()).unwrap().labels;
    labels.clear();
    world.status("g2").public_key = None;
    world.absent(&["g3"]);
    world.spec("g4").drain = true;
    world.status("g5").uplinks =
        vec![Uplink { subnets: vec![net("198.51.100.0/24")], ..Uplink::default() }];
    let fabrics = BTreeMap::new();
    let gateways = EligibleGateways::new(&world.snapshot, &fabrics);
    let why = |node: &str| gateways.ineligible(&"partners".into(), ip("192.0.2.100"), &node.into());
    assert_eq!(why("g1"), Some(Ineligible::NotSelected));
    assert_eq!(why("g2"), Some(Ineligible::NoAgent));
    assert_eq!(why("g3"), Some(Ineligible::Absent));
    assert_eq!(why("g4"), Some(Ineligible::Drained));
    assert_eq!(why("g5"), Some(Ineligible::WrongSubnet));
    assert_eq!(why("g6"), None);
    assert_eq!(why("nobody"), Some(Ineligible::NotSelected));
    let serving = gateways.serving(&"partners".into(), ip("192.0.2.100"));
    let name = |position: &usize| gateways.get(*position).unwrap().name.as_str();
    assert_eq!(serving.iter().map(name).collect::<Vec<_>>(), ["g6"]);
    world.settle();
    let plan = &world.address("192.0.2.100").plan;
    assert_eq!(plan.owner, Some("g6".into()));
    assert!(plan.standbys.is_empty());
}

#[test]
fn a_dataplane_that_the_pool_does_not_accept_is_a_reason_of_its_own() {
    let mut world = world(2, 1, 1);
    let label = ("cloud.google.com/gke-dpv2-ready".to_owned(), "true".to_owned());
    world.snapshot.nodes.get_mut(&"g1".into()).unwrap().labels.extend([label]);
    let fabrics = BTreeMap::new();
    let why = |world: &Fixture, node: &str| {
        let gateways = EligibleGateways::new(&world.snapshot, &fabrics);
        gateways.ineligible(&"partners".into(), ip("192.0.2.100"), &node.into())
    };
    assert_eq!(why(&world, "g1"), None, "only Google's pools ask");
    for mode in [ProviderKind::Gcp, ProviderKind::GcpTargetInstance, ProviderKind::GcpAliasRange] {
        world.edit_pool("partners", |pool| pool.provider = mode);
        let both = ["g1", "g2"].map(|node| why(&world, node));
        assert_eq!(both, [Some(Ineligible::UnsupportedDataplane), None], "{mode:?}");
    }
    world.edit_pool("partners", |pool| pool.accepts_unsupported_dataplane = true);
    assert_eq!(why(&world, "g1"), None);
}

#[test]
fn a_cloud_s_address_keeps_off_an_interface_that_cannot_carry_it() {
    let mut world = world(3, 1, 1);
    world.settle();
    let why = |world: &Fixture, node: &str| {
        let fabrics = BTreeMap::new();
        let gateways = EligibleGateways::new(&world.snapshot, &fabrics);
        gateways.ineligible(&"partners".into(), ip("192.0.2.100"), &node.into())
    };
    let unusable = Some(Ineligible::InterfaceUnusable);
    let mac = "02:00:00:00:00:01".to_owned();
    world.status("g1").unusable_interfaces.insert(mac.clone(), "it is down".into());
    assert_eq!(why(&world, "g1"), None, "no cloud delivers there");
    world.edit_pool("partners", |pool| pool.provider = ProviderKind::Aws);
    assert_eq!(["g1", "g2"].map(|node| why(&world, node)), [unusable, None]);
    // It is delivered by an interface that is in order.
    let stored = world.snapshot.addresses.get_mut(&ip("192.0.2.100")).unwrap();
    let at = |mac: &str| Attachment { mac: Some(mac.to_owned()), ..Attachment::at("g1".into()) };
    stored.value.status.prepared = vec![at("02:00:00:00:00:02")];
    assert_eq!(why(&world, "g1"), None);
    let stored = world.snapshot.addresses.get_mut(&ip("192.0.2.100")).unwrap();
    stored.value.status.prepared = vec![at(&mac)];
    assert_eq!(why(&world, "g1"), unusable);
}

/// Has the agents say that these nodes' only uplinks have no carrier.
fn cut_off(world: &mut Fixture, nodes: &[&str]) {
    for node in ["g1", "g2", "g3", "g4", "g5"] {
        let status = world.status(node);
        let mac = format!("02:00:00:00:00:0{}", &node[1..]);
        status.uplinks[0].mac = Some(mac.clone());
        let told = nodes.contains(&node).then_some((mac, "eth0 has no carrier".to_owned()));
        status.unusable_interfaces = told.into_iter().collect();
    }
}

#[test]
fn who_is_cut_off_stands_by_last_and_where_all_are_nothing_moves() {
    let mut world = world(5, 5, 1);
    world.settle();
    let address = "192.0.2.100";
    let plan = |world: &Fixture| {
        let plan = &world.address(address).plan;
        let names = plan.standbys.iter().map(ToString::to_string).collect::<Vec<_>>();
        (plan.owner.as_ref().unwrap().to_string(), names)
    };
    let (owner, standbys) = plan(&world);
    // Another one is there for the first standby, and for the owner the first of the others.
    cut_off(&mut world, &[&standbys[0]]);
    world.settle();
    let (after, others) = plan(&world);
    assert!(after == owner && others.len() == 3 && !others.contains(&standbys[0]), "{others:?}");
    cut_off(&mut world, &[&owner, &others[1]]);
    world.settle();
    let (new, rest) = plan(&world);
    assert_eq!(new, others[0]);
    assert_eq!(rest.len(), 3);
    assert!(!rest[..2].iter().any(|node| *node == owner || *node == others[1]), "{rest:?}");
    assert_eq!(rest[2], others[1], "who stood by before goes first");
    cut_off(&mut world, &["g1", "g2", "g3", "g4", "g5"]);
    let before = plan(&world);
    world.settle();
    assert_eq!(plan(&world), before, "it may be anybody's again at any time");
    cut_off(&mut world, &[]);
    world.settle();
    assert_eq!(plan(&world), before);
}

#[test]
fn an_interface_that_no_address_needs_keeps_nothing_from_going_back() {
    let mut world = world(5, 5, 1);
    world.settle();
    let fit = |world: &Fixture| {
        let mut memory = LeaderMemory::default();
        memory.observe(&world.snapshot, Timestamp::default());
        memory.fit_since.contains_key(&"g1".into())
    };
    cut_off(&mut world, &["g1"]);
    assert!(!fit(&world));
    world.status("g1").uplinks[0].subnets = vec![net("198.51.100.0/24")];
    assert!(fit(&world));
    world.edit_plan("192.0.2.100", |plan| plan.provider = ProviderKind::Aws);
    assert!(!fit(&world), "a cloud may deliver by each");
}

#[test]
fn a_holder_with_a_new_epoch_is_no_takeover() {
    let mut world = world(3, 3, 1);
    world.settle();
    let before = world.address("192.0.2.100").plan.clone();
    let owner = before.owner.clone().unwrap();
    world.hold(ip("192.0.2.100"), owner.as_str(), 7);
    world.step();
    let after = world.address("192.0.2.100").plan.clone();
    assert_eq!(after.owner, before.owner);
    assert_eq!(after.standbys, before.standbys);
    assert_eq!(after.made_for.unwrap().epoch.counter, 7);
    assert_eq!(after.fence, before.fence);
}

#[test]
fn without_its_pool_an_address_keeps_its_gateways() {
    let mut world = world(3, 3, 1);
    world.settle();
    let before = world.address("192.0.2.100").plan.clone();
    world.snapshot.pools.clear();
    world.absent(&[before.owner.as_ref().unwrap().as_str()]);
    world.step();
    assert_eq!(world.address("192.0.2.100").plan, before);
}

#[test]
fn a_planned_move_whose_target_dies_stays_with_the_holder() {
    let mut world = world(3, 3, 1);
    world.settle();
    let address = "192.0.2.100";
    let holder = world.address(address).plan.owner.clone();
    let wish = world.address(address).plan.standbys[0].clone();
    world.edit_plan(address, |plan| plan.preferred_node = Some(wish.clone()));
    world.step();
    assert_eq!(world.address(address).plan.owner, Some(wish.clone()));
    world.absent(&[wish.as_str()]);
    world.step();
    assert_eq!(world.address(address).plan.owner, holder);
}

#[test]
fn a_released_address_is_still_drained_and_adopted_a_revoked_one_is_not() {
    let mut world = world(3, 3, 1);
    world.settle();
    let address = "192.0.2.100";
    world.delete_claim("ns/c");
    world.step();
    let owner = world.address(address).plan.owner.clone().unwrap();
    world.spec(owner.as_str()).drain = true;
    world.settle();
    let moved = world.address(address).plan.owner.clone().unwrap();
    assert_ne!(moved, owner);
    world.pass(3600);
    world.step();
    let before = world.address(address).plan.clone();
    assert!(before.is_revoked());
    world.spec(moved.as_str()).drain = true;
    world.step();
    assert_eq!(world.address(address).plan, before);
}
