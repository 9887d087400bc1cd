use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::model::{Condition, ConditionType, LeavingReason, PoolStatus, ProviderKind};
use crate::testing::{Fixture, mk_claim, mk_pool};

type Change<'a> = &'a dyn Fn(&mut Fixture);

/// Gateways that have been there for five minutes.
fn world(gateways: usize) -> Fixture {
    let mut world = Fixture::empty();
    for number in 1..=gateways {
        world.node(&format!("g{number}"), number, true, &format!("z{}", number % 3));
    }
    world.pool(mk_pool("partners", &[("192.0.2.100", "192.0.2.199")]));
    world.settle();
    world.pass(300);
    world
}

/// Claims of one address each, all of them at `owner`.
fn heap(world: &mut Fixture, count: usize, owner: &str) {
    for number in 0..count {
        world.claim(mk_claim(&format!("ns/c{number}"), "partners"));
    }
    world.settle();
    let addresses: Vec<_> = world.snapshot.addresses.keys().copied().collect();
    for address in addresses {
        world.edit_plan(&address.to_string(), |plan| {
            plan.standbys.retain(|node| node.as_str() != owner);
            plan.owner = Some(owner.into());
        });
    }
    world.hold_all();
    world.edit_pool("partners", |pool| pool.rebalances = false);
    world.settle();
    world.edit_pool("partners", |pool| pool.rebalances = true);
}

fn owned(world: &Fixture) -> BTreeMap<String, usize> {
    let mut owned: BTreeMap<String, usize> =
        world.snapshot.nodes.keys().map(|node| (node.to_string(), 0)).collect();
    for stored in world.snapshot.addresses.values() {
        if let Some(owner) = &stored.value.plan.owner {
            *owned.entry(owner.to_string()).or_default() += 1;
        }
    }
    owned
}

fn counts(world: &Fixture) -> Vec<usize> {
    owned(world).into_values().collect()
}

fn status(world: &Fixture) -> &PoolStatus {
    &world.snapshot.pools[&"partners".into()].value.1
}

fn balanced(world: &Fixture) -> &Condition {
    let conditions = status(world).conditions.iter();
    conditions.clone().find(|known| known.kind == ConditionType::Balanced).unwrap()
}

/// Twelve on one of four: one a minute goes, and then nothing any more.
#[test]
fn a_heap_is_spread_one_a_minute_and_comes_to_rest() {
    let mut world = world(4);
    heap(&mut world, 12, "g1");
    assert_eq!(counts(&world), [12, 0, 0, 0]);
    let mut moved = BTreeSet::new();
    for minute in 1..=9 {
        let before = world.snapshot.clone();
        world.settle();
        let now: Vec<_> = world
            .snapshot
            .addresses
            .iter()
            .filter(|(address, stored)| {
                stored.value.plan.owner != before.addresses[*address].value.plan.owner
            })
            .map(|(address, _)| *address)
            .collect();
        assert_eq!(now.len(), 1, "minute {minute}: {:?}", owned(&world));
        assert!(moved.insert(now[0]), "no address twice");
        world.settle();
        world.pass(60);
    }
    assert_eq!(counts(&world), [3, 3, 3, 3]);
    world.settle();
    assert_eq!(balanced(&world).reason, "Even");
    assert_eq!(status(&world).rebalance, None);
    for _ in 0..100 {
        world.pass(60);
        assert_eq!(world.step(), vec![]);
    }
}

#[test]
fn what_is_intended_is_said_before_and_after_that_it_is_on_its_way() {
    let mut world = world(2);
    heap(&mut world, 2, "g1");
    world.node("g3", 3, true, "z0");
    world.snapshot.nodes.remove(&"g2".into()).unwrap();
    world.snapshot.egress_nodes.remove(&"g2".into()).unwrap();
    world.settle();
    let intended = status(&world).rebalance.clone().unwrap();
    assert_eq!((intended.from.as_str(), intended.to.as_str()), ("g1", "g3"));
    assert!(balanced(&world).message.contains("not before 1970-01-01T"), "{:?}", balanced(&world));
    assert_eq!(balanced(&world).reason, "MoveIntended");
    assert_eq!(world.plan().wake_at, Some(intended.not_before));
    world.pass(299);
    assert_eq!(world.step(), vec![], "a node that has been there for less than five minutes");
    world.pass(1);
    world.step();
    let address = intended.address.to_string();
    assert_eq!(world.address(&address).plan.owner, Some("g3".into()));
    assert_eq!(world.address(&address).plan.rebalanced_at, Some(world.now));
    // Nothing would be better than that.
    assert_eq!((balanced(&world).reason.as_str(), &status(&world).rebalance), ("Even", &None));
}

#[test]
fn while_one_is_on_its_way_the_next_waits() {
    let mut world = world(2);
    heap(&mut world, 6, "g1");
    world.step();
    assert_eq!(counts(&world), [5, 1]);
    assert_eq!(balanced(&world).reason, "MoveHeldBack");
    assert!(balanced(&world).message.contains("is on its way to g2"), "{:?}", balanced(&world));
    world.pass(600);
    assert_eq!(world.step(), vec![], "however long that takes");
    world.settle();
    assert_eq!(counts(&world), [4, 2]);
}

#[test]
fn while_one_waits_for_its_cloud_other_pools_say_the_same_in_every_plan() {
    let mut world = world(2);
    world.pool(mk_pool("second", &[("192.0.2.200", "192.0.2.230")]));
    world.edit_pool("second", |pool| pool.rebalances = false);
    for claim in ["ns/a", "ns/b"] {
        world.claim(mk_claim(claim, "second"));
    }
    heap(&mut world, 2, "g1");
    for stored in world.snapshot.addresses.values_mut() {
        if stored.value.plan.pool == "partners".into() {
            stored.value.plan.provider = ProviderKind::Gcp;
        }
    }
    world.edit_pool("second", |pool| pool.rebalances = true);
    world.step();
    world.step();
    assert_eq!(owned(&world).get("g2"), Some(&0), "nothing is ready there");
    assert_eq!(balanced(&world).reason, "MoveIntended");
    let second = &world.snapshot.pools[&"second".into()].value.1;
    assert_eq!(second.rebalance, None, "one at a time");
    world.pass(1);
    assert_eq!(world.step(), vec![]);
}

#[test]
fn what_is_pinned_ending_in_conflict_paused_or_to_stay_does_not_move() {
    let pinned = |world: &mut Fixture| {
        for address in ["192.0.2.100", "192.0.2.101"] {
            world.edit_plan(address, |plan| plan.preferred_node = Some("g1".into()));
        }
    };
    let ending = |world: &mut Fixture| {
        for name in ["ns/c0", "ns/c1"] {
            world.delete_claim(name);
        }
    };
    let conflict = |world: &mut Fixture| {
        for stored in world.snapshot.addresses.values_mut() {
            let now = world.now;
            Condition::new(ConditionType::Conflict, true, "Conflict", "a host has it", now)
                .put_into(&mut stored.value.status.conditions);
        }
    };
    let paused = |world: &mut Fixture| world.edit_pool("partners", |pool| pool.paused = true);
    let never = |world: &mut Fixture| world.edit_pool("partners", |pool| pool.rebalances = false);
    let nothing = |_: &mut Fixture| ();
    let cases: [(&str, Change<'_>, bool); 6] = [
        ("nothing", &nothing, true),
        ("pinned", &pinned, false),
        ("ending", &ending, false),
        ("conflict", &conflict, false),
        ("paused", &paused, false),
        ("never", &never, false),
    ];
    for (name, change, moves) in cases {
        let mut world = world(2);
        heap(&mut world, 2, "g1");
        change(&mut world);
        world.step();
        assert_eq!(counts(&world) == [1, 1], moves, "{name}: {:?}", owned(&world));
    }
}

#[test]
fn while_something_goes_on_among_the_gateways_nothing_moves() {
    let absent = |world: &mut Fixture| world.absent(&["g3"]);
    let drained = |world: &mut Fixture| world.spec("g3").drain = true;
    let node = |world: &mut Fixture, edit: &dyn Fn(&mut crate::model::Node)| {
        edit(world.snapshot.nodes.get_mut(&"g3".into()).unwrap());
    };
    let cordoned = |world: &mut Fixture| node(world, &|node| node.cordoned = true);
    let leaves = |world: &mut Fixture| {
        node(world, &|node| node.leaving = Some(LeavingReason::Deleted));
    };
    let cases: [(&str, Change<'_>); 4] =
        [("absent", &absent), ("drained", &drained), ("cordoned", &cordoned), ("leaves", &leaves)];
    for (name, change) in cases {
        let mut world = world(3);
        heap(&mut world, 3, "g1");
        change(&mut world);
        world.settle();
        world.pass(600);
        world.settle();
        assert_eq!(counts(&world), [3, 0, 0], "{name}");
        assert_eq!(balanced(&world).reason, "MoveHeldBack");
        assert!(balanced(&world).message.contains("g3"), "{:?}", balanced(&world));
    }
    // Nor before another move has been made.
    let mut world = world(3);
    heap(&mut world, 3, "g1");
    world.edit_plan("192.0.2.101", |plan| plan.owner = Some("g2".into()));
    world.step();
    assert_eq!(counts(&world), [2, 1, 0]);
}

#[test]
fn a_claims_addresses_stay_apart() {
    let mut world = world(2);
    let mut pair = mk_claim("ns/pair", "partners");
    pair.count = 2;
    world.claim(pair);
    world.settle();
    assert_eq!(counts(&world), [1, 1]);
    // One gateway has two more of others: of the pair none joins the other.
    let mut others = ["ns/a", "ns/b"].map(|name| mk_claim(name, "partners"));
    for claim in &mut others {
        claim.count = 1;
        world.claim(claim.clone());
    }
    world.edit_pool("partners", |pool| pool.rebalances = false);
    world.settle();
    for stored in world.snapshot.addresses.values_mut() {
        if stored.value.plan.claim.to_string() != "ns/pair" {
            stored.value.plan.owner = Some("g1".into());
            stored.value.plan.standbys = vec!["g2".into()];
        }
    }
    world.hold_all();
    world.settle();
    assert_eq!(counts(&world), [3, 1]);
    world.edit_pool("partners", |pool| pool.rebalances = true);
    world.settle();
    let pair = world.snapshot.addresses.values().map(|stored| &stored.value.plan);
    let pair: BTreeSet<_> = pair
        .filter(|plan| plan.claim.to_string() == "ns/pair")
        .map(|plan| plan.owner.clone())
        .collect();
    assert_eq!((counts(&world).as_slice(), pair.len()), ([2, 2].as_slice(), 2));
}

#[test]
fn a_new_leader_moves_nothing_sooner() {
    let mut world = world(2);
    heap(&mut world, 6, "g1");
    world.step();
    world.hold_all();
    assert_eq!(counts(&world), [5, 1]);
    world.memory = Default::default();
    world.pass(200);
    world.settle();
    assert_eq!(counts(&world), [5, 1], "it has seen the gateways for less than five minutes");
    world.pass(300);
    world.settle();
    assert_eq!(counts(&world), [4, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Wherever addresses lie, of whichever claims: it comes to rest, each address having moved at most
    /// once in thirty minutes, and then no gateway has two more than another that could have one of them.
    #[test]
    fn it_comes_to_rest(
        gateways in 2usize..6,
        claims in prop::collection::vec((1u32..4, 0usize..6), 1..8),
        second in prop::collection::vec((1u32..3, 0usize..6), 0..4),
    ) {
        let mut world = world(gateways);
        world.pool(mk_pool("second", &[("192.0.2.200", "192.0.2.230")]));
        for pool in ["partners", "second"] {
            world.edit_pool(pool, |pool| pool.rebalances = false);
        }
        let mut at = BTreeMap::new();
        for (pool, claims) in [("partners", &claims), ("second", &second)] {
            for (number, (count, owner)) in claims.iter().enumerate() {
                let mut claim = mk_claim(&format!("{pool}/c{number}"), pool);
                claim.count = *count;
                at.insert(claim.reference.clone(), format!("g{}", owner % gateways + 1));
                world.claim(claim);
            }
        }
        world.settle();
        for stored in world.snapshot.addresses.values_mut() {
            let owner = at[&stored.value.plan.claim].as_str();
            stored.value.plan.owner = Some(owner.into());
            stored.value.plan.standbys.retain(|node| node.as_str() != owner);
        }
        world.hold_all();
        world.settle();
        for pool in ["partners", "second"] {
            world.edit_pool(pool, |pool| pool.rebalances = true);
        }
        let mut last = BTreeMap::new();
        let mut quiet = 0;
        for minute in 0..200 {
            let before = world.snapshot.clone();
            world.settle();
            let moved: Vec<_> = before
                .addresses
                .iter()
                .filter(|(address, stored)| {
                    stored.value.plan.owner != world.snapshot.addresses[*address].value.plan.owner
                })
                .map(|(address, _)| *address)
                .collect();
            prop_assert!(moved.len() <= 1, "{moved:?} at once");
            for address in &moved {
                if let Some(before) = last.insert(*address, minute) {
                    prop_assert!(minute - before >= 30, "{address} at {before} and {minute}");
                }
            }
            quiet = if moved.is_empty() { quiet + 1 } else { 0 };
            world.pass(60);
        }
        prop_assert!(quiet > 100, "it never rests: {:?}", owned(&world));
        if claims.iter().all(|(count, _)| *count == 1) && second.is_empty() {
            let counts = counts(&world);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            prop_assert!(most - least < 2, "{counts:?}");
        }
    }
}
