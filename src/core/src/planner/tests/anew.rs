//! A claim that is deleted and made anew is the same one: it gets back what it had.

use std::collections::BTreeSet;

use super::*;
use crate::model::{AddressPlan, BlockGrant, Claim, Condition, Timestamp, Write};
use crate::planner::manual;
use crate::testing::{mk_pod, mk_selector};

const ADDRESS: &str = "192.0.2.100";

fn explicit() -> Claim {
    mk_explicit("payments/bank", "partners", &[ADDRESS])
}

/// As a client deletes a claim and applies the same manifest again.
fn again(world: &mut Fixture, claim: &Claim) {
    let uid = format!("uid at {:?}", world.now).as_str().into();
    world.claim(Claim { uid, created: world.now, ..claim.clone() });
}

fn settled(claim: &Claim) -> Fixture {
    let mut world = Fixture::small();
    world.claim(claim.clone());
    world.pod(mk_pod("payments/p", "bank", "d1", &["10.244.4.7/32"]));
    world.settle();
    world
}

fn blocks(world: &Fixture) -> BTreeSet<(String, BlockGrant)> {
    let nodes = world.snapshot.egress_nodes.values();
    let grants = nodes.flat_map(|node| {
        node.value.spec.blocks.iter().map(|grant| (node.value.name.to_string(), grant.clone()))
    });
    grants.collect()
}

fn has(world: &Fixture, claim: &str) -> Vec<String> {
    let status = &world.snapshot.claims[&mk_ref(claim)].value.1;
    let ready = status.conditions.iter().find(|one| one.kind.as_str() == "Ready").unwrap();
    let mut said: Vec<String> = status.addresses.iter().map(ToString::to_string).collect();
    said.push(ready.reason.clone());
    said
}

fn is_released(world: &Fixture) -> bool {
    matches!(world.address(ADDRESS).plan.end, Some(AddressEnd::Released { .. }))
}

/// Others that want the address, or any.
fn others(world: &mut Fixture) {
    world.claim(mk_claim("shop/any", "partners"));
    let mut old = mk_explicit("shop/this", "partners", &[ADDRESS]);
    old.created = Timestamp(1);
    world.claim(old);
}

#[test]
fn between_two_turns_of_the_controller_nothing_happens_but_the_uid() {
    let mut world = settled(&mk_claim("payments/bank", "partners"));
    let (plan, granted) = (world.address(ADDRESS).plan.clone(), blocks(&world));
    world.pass(5);
    again(&mut world, &mk_claim("payments/bank", "partners"));
    let live = crate::port_blocks::bound(&world.snapshot);
    assert_eq!(live[&mk_ref("payments/bank")], [ip(ADDRESS)].into(), "agents steer on");
    world.settle();
    let claim_uid = world.snapshot.claims[&mk_ref("payments/bank")].value.0.uid.clone();
    assert_eq!(world.address(ADDRESS).plan, AddressPlan { claim_uid, ..plan });
    assert_eq!(blocks(&world), granted);
}

#[test]
fn what_was_released_is_taken_back_in_one_write_with_fence_holder_and_blocks() {
    for claim in [explicit(), mk_claim("payments/bank", "partners")] {
        let mut world = settled(&claim);
        let before = world.address(ADDRESS).clone();
        let granted = blocks(&world);
        world.delete_claim("payments/bank");
        others(&mut world);
        world.step();
        assert!(is_released(&world));
        world.settle();
        assert_eq!(has(&world, "shop/any"), ["192.0.2.101", "Ready"]);
        world.pass(1800);
        again(&mut world, &claim);
        let writes = world.step();
        let plans = writes.iter().filter(|one| matches!(one.write, Write::AddressPlan { .. }));
        assert_eq!(plans.count(), 1);
        let claim_uid = world.snapshot.claims[&mk_ref("payments/bank")].value.0.uid.clone();
        let plan = AddressPlan { claim_uid, ..before.plan };
        assert_eq!(world.address(ADDRESS).plan, plan);
        world.settle();
        assert_eq!(world.address(ADDRESS).plan, plan);
        assert_eq!(world.address(ADDRESS).status.holding, before.status.holding);
        let kept = blocks(&world);
        assert!(granted.is_subset(&kept));
        assert_eq!(has(&world, "payments/bank"), [ADDRESS, "Ready"]);
        assert_eq!(has(&world, "shop/this"), ["NotAccepted"], "it is in use by another");
        world.pass(7200);
        world.settle();
        assert_eq!(world.address(ADDRESS).plan, plan, "the release is over");
    }
}

#[test]
fn what_was_revoked_is_held_anew_under_a_new_fence_and_its_ended_ports_rest() {
    for claim in [explicit(), mk_claim("payments/bank", "partners")] {
        let mut world = settled(&claim);
        let before = world.address(ADDRESS).plan.clone();
        world.delete_claim("payments/bank");
        others(&mut world);
        world.step();
        world.pass(3600);
        world.step();
        let revoked = world.address(ADDRESS).plan.clone();
        assert!(revoked.is_revoked() && revoked.fence > before.fence);
        let ended = blocks(&world);
        assert!(ended.iter().any(|(_, grant)| grant.address == ip(ADDRESS)));
        // The voters have acknowledged the fence that ended it.
        world.acknowledge(&[]);
        again(&mut world, &claim);
        world.step();
        let plan = world.address(ADDRESS).plan.clone();
        assert_eq!((plan.end, plan.owner), (None, before.owner));
        assert!(plan.fence > revoked.fence, "{} after {}", plan.fence, revoked.fence);
        let ports = |live: bool| {
            let grants = blocks(&world).into_iter().map(|(_, grant)| grant);
            let mine = grants.filter(|grant| grant.address == ip(ADDRESS));
            mine.filter(|grant| grant.ended.is_none() == live).collect::<Vec<_>>()
        };
        let (rest, live) = (ports(false), ports(true));
        assert!(!rest.is_empty() && live.len() >= 5, "{rest:?} {live:?}");
        assert!(!live.iter().any(|one| rest.iter().any(|other| one.ports.overlaps(&other.ports))));
        world.settle();
        assert_eq!(has(&world, "payments/bank"), [ADDRESS, "Ready"]);
        world.pass(120);
        world.settle();
        let left = blocks(&world);
        assert!(left.iter().all(|(_, grant)| grant.ended.is_none()), "{left:?}");
        assert_eq!(world.address(ADDRESS).plan.end, None, "it is not freed");
        assert_eq!(has(&world, "shop/this"), ["NotAccepted"]);
    }
}

/// A node that has the address by then goes on to have it: nobody has answered for it since.
#[test]
fn what_was_revoked_and_taken_back_was_not_held_since_its_end() {
    let held = |world: &Fixture| world.address(ADDRESS).was_held_since_its_end();
    let answer_for = |world: &mut Fixture| {
        let address = &mut world.snapshot.addresses.get_mut(&ip(ADDRESS)).unwrap().value;
        (address.status.was_held, address.status.held_fence) = (true, Some(address.plan.fence));
    };
    let end = |world: &mut Fixture, until: u64| {
        world.delete_claim("payments/bank");
        world.step();
        world.pass(until);
        world.step();
    };
    let mut world = settled(&explicit());
    assert!(!held(&world), "nobody has answered for it yet");
    answer_for(&mut world);
    end(&mut world, 1800);
    assert!(is_released(&world) && held(&world), "it is held for open connections");
    again(&mut world, &explicit());
    world.settle();
    assert!(world.address(ADDRESS).plan.end.is_none() && held(&world));
    end(&mut world, 3600);
    assert!(world.address(ADDRESS).plan.is_revoked() && !held(&world));
    again(&mut world, &explicit());
    world.settle();
    assert!(world.address(ADDRESS).plan.end.is_none() && !held(&world));
    assert!(!world.address(ADDRESS).is_unused(), "it was held once");
    answer_for(&mut world);
    assert!(held(&world));
    // As `egret release` ends it.
    let now = world.now;
    world.edit_plan(ADDRESS, |plan| *plan = manual::revoke(plan, plan.fence + 1, now));
    assert!(!held(&world));
}

#[test]
fn an_answer_to_an_earlier_release_ends_nothing() {
    const NODES: [&str; 5] = ["g1", "g2", "g3", "d1", "d2"];
    let mut world = settled(&explicit());
    world.delete_claim("payments/bank");
    world.step();
    for node in &NODES[..4] {
        answer(&mut world, node, ADDRESS);
    }
    // The last one has a connection yet. The claim comes back, pods connect, and it goes again.
    world.pass(60);
    again(&mut world, &explicit());
    world.settle();
    world.pass(60);
    world.delete_claim("payments/bank");
    world.step();
    answer(&mut world, NODES[4], ADDRESS);
    assert_eq!(world.plan().writes, vec![]);
    assert!(is_released(&world));
    // Nor does what agents of the version before say, who do not tell which release they mean.
    for node in NODES {
        world.status(node).idle_addresses.insert(ip(ADDRESS));
    }
    assert_eq!(world.plan().writes, vec![]);
    for node in NODES {
        answer(&mut world, node, ADDRESS);
    }
    world.step();
    assert!(world.address(ADDRESS).plan.is_revoked());
}

#[test]
fn only_the_same_claim_of_the_same_pool_gets_it_back_and_only_what_it_asks_for() {
    let mut other_pool = mk_claim("payments/bank", "second");
    let mut fewer = explicit();
    fewer.addresses = vec![ip("192.0.2.110")];
    let cluster_wide =
        Claim { namespaces: Some(mk_selector("a", "b")), ..mk_claim("bank", "partners") };
    other_pool.count = 1;
    for claim in [other_pool, fewer, cluster_wide, mk_claim("shop/bank", "partners")] {
        let mut world = settled(&explicit());
        world.pool(mk_pool("second", &[("192.0.2.200", "192.0.2.203")]));
        world.delete_claim("payments/bank");
        world.step();
        again(&mut world, &claim);
        world.settle();
        assert!(is_released(&world), "{claim:?}");
        assert_eq!(world.snapshot.addresses.len(), 2);
    }
}

#[test]
fn a_claim_that_is_not_admitted_and_a_paused_pool_take_nothing_back() {
    let mut world = settled(&explicit());
    world.delete_claim("payments/bank");
    world.step();
    world.edit_pool("partners", |pool| pool.paused = true);
    again(&mut world, &explicit());
    world.settle();
    assert!(is_released(&world));
    world.edit_pool("partners", |pool| pool.paused = false);
    let admits = world.snapshot.pools[&"partners".into()].value.0.allowed_namespaces.clone();
    world.edit_pool("partners", |pool| pool.allowed_namespaces = None);
    world.settle();
    assert!(is_released(&world));
    world.edit_pool("partners", |pool| pool.allowed_namespaces = admits.clone());
    world.settle();
    assert_eq!(has(&world, "payments/bank"), [ADDRESS, "Ready"]);
}

#[test]
fn a_count_that_goes_down_and_up_again_gets_the_same_addresses() {
    let claim = Claim { count: 3, ..mk_claim("payments/bank", "partners") };
    let mut world = settled(&claim);
    let bound = has(&world, "payments/bank");
    world.edit_claim("payments/bank", |claim| claim.count = 1);
    world.settle();
    assert_eq!(has(&world, "payments/bank").len(), 2);
    world.edit_claim("payments/bank", |claim| claim.count = 3);
    world.settle();
    assert_eq!(has(&world, "payments/bank"), bound);
}

/// Pool, nodes and routers as they are now decide of what nothing uses any more; open connections go
/// on.
#[test]
fn what_could_not_be_given_out_now_is_taken_back_while_released_and_not_once_revoked() {
    type Change = fn(&mut Fixture);
    let changes: [(&str, Change); 4] = [
        ("outside", |world| {
            let ranges = mk_pool("", &[("192.0.2.120", "192.0.2.129")]).ranges;
            world.edit_pool("partners", |pool| pool.ranges = ranges.clone());
        }),
        ("reserved", |world| {
            world.edit_pool("partners", |pool| pool.reserved = [ip(ADDRESS)].into());
        }),
        ("node", |world| world.node("node-100", 100, false, "a")),
        ("router", |world| {
            world.status("g1").uplinks[0].next_hops = [ip(ADDRESS)].into();
            let stored = world.snapshot.addresses.get_mut(&ip(ADDRESS));
            // Where it was never held it is a router's, and not taken back.
            stored.into_iter().for_each(|stored| stored.value.status.was_held = true);
        }),
    ];
    for (case, change) in changes {
        for claim in [explicit(), mk_claim("payments/bank", "partners")] {
            for revoked in [false, true] {
                let mut world = settled(&claim);
                world.delete_claim("payments/bank");
                world.step();
                if revoked {
                    world.pass(3600);
                    world.step();
                }
                change(&mut world);
                again(&mut world, &claim);
                world.step();
                let plan = world.snapshot.addresses.get(&ip(ADDRESS)).map(|one| &one.value.plan);
                let bound = plan.is_some_and(|plan| plan.end.is_none());
                assert_eq!(bound, !revoked, "{case} {claim:?}");
            }
        }
    }
}

/// With room for one of several, a claim gets back what it had last.
#[test]
fn of_several_ended_addresses_the_one_with_connections_that_was_had_last_is_taken_back() {
    let claim = mk_claim("payments/bank", "partners");
    let last = "192.0.2.101";
    for revoked in [false, true] {
        let mut world = settled(&Claim { count: 2, ..claim.clone() });
        // The first is let go, and after a while the second.
        world.edit_claim("payments/bank", |claim| claim.addresses = vec![ip(last)]);
        world.step();
        assert!(is_released(&world));
        world.pass(if revoked { 3600 } else { 60 });
        world.step();
        assert_eq!(world.address(ADDRESS).plan.is_revoked(), revoked);
        world.delete_claim("payments/bank");
        world.step();
        again(&mut world, &claim);
        world.step();
        assert_eq!(world.address(last).plan.end, None, "revoked: {revoked}");
        assert!(world.address(ADDRESS).plan.end.is_some());
    }
}

/// What another host was found to have is not what a claim wants back.
#[test]
fn a_contested_address_is_not_taken_back() {
    let claim = mk_claim("payments/bank", "partners");
    let mut world = settled(&claim);
    let stored = world.snapshot.addresses.get_mut(&ip(ADDRESS)).unwrap();
    let conflict = "Conflict".into();
    let conflict = Condition::new(conflict, true, "ForeignHost", "a host has it", Timestamp(0));
    conflict.put_into(&mut stored.value.status.conditions);
    (stored.value.status.probed, stored.value.status.was_held) = (false, false);
    world.delete_claim("payments/bank");
    world.step();
    assert!(is_released(&world));
    again(&mut world, &claim);
    world.edit_pool("partners", |pool| {
        pool.ranges = mk_pool("", &[(ADDRESS, ADDRESS)]).ranges;
    });
    world.step();
    assert!(is_released(&world));
}
