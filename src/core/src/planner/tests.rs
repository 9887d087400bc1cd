use crate::model::{AddressEnd, Failback, LeavingReason, Millis};
use crate::testing::{Fixture, ip, mk_claim, mk_explicit, mk_pool, mk_ref, render};

mod anew;
mod crashes;
mod laws;
mod objects;
mod order;
mod unsure;

/// The small world with one claim, in quiet times.
fn quiet() -> Fixture {
    let mut world = Fixture::small();
    world.claim(mk_claim("payments/bank", "partners"));
    world.settle();
    world
}

const BANK: &str = "192.0.2.100";

fn owner(world: &Fixture) -> String {
    world.address(BANK).plan.owner.as_ref().unwrap().to_string()
}

fn standbys(world: &Fixture) -> Vec<String> {
    world.address(BANK).plan.standbys.iter().map(ToString::to_string).collect()
}

#[test]
fn first_plan_of_a_new_cluster() {
    let mut world = Fixture::small();
    world.claim(mk_claim("payments/bank", "partners"));
    insta::assert_snapshot!(render(&world.plan()));
}

#[test]
fn quiet_times_write_nothing() {
    let mut world = quiet();
    world.pass(10_000);
    let plan = world.plan();
    assert_eq!(plan.writes, vec![], "{}", render(&plan));
    assert_eq!(plan.numbers, 0);
    assert_eq!(plan.wake_at, None);
}

#[test]
fn a_takeover_is_adopted() {
    let mut world = quiet();
    let (old, new) = (owner(&world), standbys(&world)[0].clone());
    world.absent(&[&old]);
    world.hold(ip(BANK), &new, 2);
    insta::assert_snapshot!(render(&world.plan()));
    world.step();
    assert_eq!(owner(&world), new);
    assert!(!standbys(&world).contains(&old));
    // It comes back: a standby again, and nothing moves (failback Never).
    world.absent(&[]);
    world.step();
    assert_eq!(owner(&world), new);
    assert!(standbys(&world).contains(&old));
    world.pass(3600);
    world.step();
    assert_eq!(owner(&world), new);
}

#[test]
fn a_drain_is_a_planned_move_to_the_first_standby() {
    let mut world = quiet();
    let (old, new) = (owner(&world), standbys(&world)[0].clone());
    world.spec(&old).drain = true;
    insta::assert_snapshot!(render(&world.plan()));
    world.step();
    let plan = world.address(BANK).plan.clone();
    assert_eq!(plan.owner, Some(new.as_str().into()));
    // Made for the present holder: it obeys and hands over.
    assert_eq!(plan.made_for, world.address(BANK).status.holding);
    world.settle();
    world.spec(&old).drain = false;
    world.settle();
    assert_eq!(owner(&world), new);
}

fn cordon(world: &mut Fixture, node: &str, cordoned: bool) {
    world.snapshot.nodes.get_mut(&node.into()).unwrap().cordoned = cordoned;
}

#[test]
fn a_cordoned_node_comes_last_as_owner_and_as_standby() {
    let mut world = quiet();
    let (old, others) = (owner(&world), standbys(&world));
    cordon(&mut world, &others[0], true);
    world.settle();
    assert_eq!(owner(&world), old);
    assert_eq!(standbys(&world), [others[1].clone(), others[0].clone()]);
    // An owner that is cordoned hands over, and stands by after the rest.
    cordon(&mut world, &old, true);
    world.settle();
    assert_eq!(owner(&world), others[1]);
    assert_eq!(standbys(&world), [others[0].clone(), old.clone()]);
    // Between cordoned ones nothing moves, though each may take over.
    cordon(&mut world, &others[1], true);
    world.settle();
    assert_eq!(owner(&world), others[1], "nobody else may carry it");
    assert_eq!(standbys(&world), [others[0].clone(), old.clone()]);
    cordon(&mut world, &old, false);
    world.settle();
    assert_eq!(owner(&world), old);
}

#[test]
fn where_all_are_cordoned_a_dead_or_drained_holder_is_succeeded_all_the_same() {
    let gateways = ["g1", "g2", "g3"];
    let mut world = quiet();
    gateways.iter().for_each(|gateway| cordon(&mut world, gateway, true));
    world.settle();
    let (dead, next) = (owner(&world), standbys(&world)[0].clone());
    world.absent(&[&dead]);
    world.settle();
    assert_eq!(owner(&world), next);
    world.spec(&next).drain = true;
    world.settle();
    let last = owner(&world);
    assert!(last != dead && last != next, "{last}");
    assert_eq!(standbys(&world), Vec::<String>::new(), "neither a dead nor a drained one");
    // Nor is a new claim left without an owner.
    let mut world = Fixture::small();
    gateways.iter().for_each(|gateway| cordon(&mut world, gateway, true));
    world.claim(mk_claim("payments/bank", "partners"));
    world.settle();
    assert!(gateways.contains(&owner(&world).as_str()));
}

#[test]
fn a_taint_is_a_drain_as_long_as_it_is_there() {
    let mut world = quiet();
    let (old, new) = (owner(&world), standbys(&world)[0].clone());
    let leaving = |world: &mut Fixture, why: Option<LeavingReason>| {
        world.snapshot.nodes.get_mut(&old.as_str().into()).unwrap().leaving = why;
    };
    let taint = "karpenter.sh/disrupted";
    leaving(&mut world, Some(LeavingReason::Taint(taint.to_owned())));
    let writes = world.step();
    let notes: Vec<String> =
        writes.iter().flat_map(|write| &write.notes).map(|note| note.message.clone()).collect();
    let said = format!("{BANK} moves from {old} to {new}: {old} leaves (taint {taint})");
    assert!(notes.contains(&said), "{notes:?}");
    assert_eq!(owner(&world), new);
    assert!(!standbys(&world).contains(&old), "it takes nothing");
    assert_eq!(world.spec(&old).leaving, Some(format!("taint {taint}")), "its agent reads it");
    world.settle();
    leaving(&mut world, None);
    world.settle();
    assert_eq!(world.spec(&old).leaving, None);
    assert_eq!(owner(&world), new, "nothing moves back");
    assert!(standbys(&world).contains(&old), "it may take over again");
}

#[test]
fn failback_immediately_waits_for_five_minutes_of_health() {
    let mut world = quiet();
    world.edit_pool("partners", |pool| pool.failover.failback = Failback::Immediately);
    let (old, new) = (owner(&world), standbys(&world)[0].clone());
    world.absent(&[&old]);
    world.hold(ip(BANK), &new, 2);
    world.settle();
    assert_eq!(world.address(BANK).plan.home, Some(old.as_str().into()));
    world.absent(&[]);
    world.settle();
    assert_eq!(owner(&world), new);
    let wake = world.plan().wake_at.unwrap();
    world.pass(299);
    world.settle();
    assert_eq!(owner(&world), new);
    world.pass(1);
    assert_eq!(wake, world.now);
    world.settle();
    assert_eq!(owner(&world), old);
    assert_eq!(world.address(BANK).plan.home, None);
}

#[test]
fn failback_immediately_counts_from_the_end_of_a_taint() {
    let mut world = quiet();
    world.edit_pool("partners", |pool| pool.failover.failback = Failback::Immediately);
    let old = owner(&world);
    world.pass(3600);
    let leaving = |world: &mut Fixture, why: Option<LeavingReason>| {
        world.snapshot.nodes.get_mut(&old.as_str().into()).unwrap().leaving = why;
        world.settle();
    };
    for _ in 0..2 {
        leaving(&mut world, Some(LeavingReason::Taint("karpenter.sh/disrupted".to_owned())));
        leaving(&mut world, None);
        assert_ne!(owner(&world), old, "its agent was there all the time");
        world.pass(299);
        world.settle();
        assert_ne!(owner(&world), old);
    }
    world.pass(1);
    world.settle();
    assert_eq!(owner(&world), old);
}

#[test]
fn failback_when_drained_goes_home() {
    let mut world = quiet();
    world.edit_pool("partners", |pool| pool.failover.failback = Failback::WhenDrained);
    let old = owner(&world);
    let new = standbys(&world)[1].clone();
    world.absent(&[&old]);
    world.hold(ip(BANK), &new, 2);
    world.settle();
    world.absent(&[]);
    world.settle();
    world.pass(3600);
    world.settle();
    assert_eq!(owner(&world), new);
    world.spec(&new).drain = true;
    world.settle();
    assert_eq!(owner(&world), old);
}

#[test]
fn a_preferred_node_is_obeyed_once() {
    let mut world = quiet();
    let wish = standbys(&world)[1].clone();
    world.edit_plan(BANK, |plan| plan.preferred_node = Some(wish.as_str().into()));
    world.settle();
    assert_eq!(owner(&world), wish);
    // It dies; another takes over; it comes back and does not pull the address back.
    let other = standbys(&world)[0].clone();
    world.absent(&[&wish]);
    world.hold(ip(BANK), &other, 9);
    world.settle();
    world.absent(&[]);
    world.settle();
    assert_eq!(owner(&world), other);
    assert_eq!(world.address(BANK).plan.preferred_node, None);
}

#[test]
fn a_paused_pool_moves_nothing_and_fences_nothing() {
    let mut world = quiet();
    world.edit_pool("partners", |pool| pool.paused = true);
    world.settle();
    assert!(world.address(BANK).plan.paused);
    let before = world.address(BANK).plan.clone();
    let old = owner(&world);
    world.absent(&[&old]);
    world.delete_claim("payments/bank");
    world.claim(mk_claim("payments/other", "partners"));
    world.step();
    assert_eq!(world.address(BANK).plan, before);
    let status = &world.snapshot.claims[&mk_ref("payments/other")].value.1;
    assert_eq!(status.conditions[1].reason, "PoolPaused");
    assert_eq!(world.snapshot.addresses.len(), 1);
}

/// A director says that it has no connection of a released address.
fn answer(world: &mut Fixture, node: &str, address: &str) {
    if let Some(AddressEnd::Released { since, .. }) = world.address(address).plan.end {
        world.status(node).idle_releases.insert(ip(address), since);
    }
}

#[test]
fn an_address_ends_gently() {
    let mut world = quiet();
    let fence = world.address(BANK).plan.fence;
    world.delete_claim("payments/bank");
    insta::assert_snapshot!("released", render(&world.plan()));
    world.step();
    assert_eq!(world.plan().wake_at, Some(world.now + Millis::from_secs(3600)));
    // One director of five still has a connection.
    for node in ["g1", "g2", "g3", "d1"] {
        answer(&mut world, node, BANK);
    }
    assert_eq!(world.plan().writes, vec![]);
    answer(&mut world, "d2", BANK);
    insta::assert_snapshot!("revoked", render(&world.plan()));
    world.step();
    assert!(world.address(BANK).plan.fence > fence);
    // Nothing goes on before the voters and the gateways have acknowledged.
    world.pass(600);
    assert_eq!(world.plan().writes, vec![]);
    assert_eq!(world.plan().waiting.len(), 5);
    world.acknowledge(&[]);
    world.step();
    world.pass(119);
    assert_eq!(world.plan().writes, vec![]);
    world.pass(1);
    insta::assert_snapshot!("freed", render(&world.plan()));
    world.settle();
    assert!(world.snapshot.addresses.is_empty());
    assert!(world.spec("d1").blocks.is_empty());
}

#[test]
fn a_released_address_is_revoked_when_release_after_has_passed() {
    let mut world = quiet();
    world.delete_claim("payments/bank");
    world.step();
    world.pass(3599);
    assert_eq!(world.plan().writes, vec![]);
    world.pass(1);
    assert_eq!(world.plan().numbers, 6, "a fence and the ends of five blocks");
    // `releaseAfter: 0s` revokes at once.
    let mut world = quiet();
    world.edit_pool("partners", |pool| pool.failover.release_after = Millis(0));
    world.delete_claim("payments/bank");
    assert_eq!(world.plan().numbers, 6);
}

#[test]
fn leases_follow_the_pool() {
    let mut world = quiet();
    assert_eq!(world.address(BANK).plan.lease, Millis(450));
    // Exactly one node, living or dead: nobody could take over.
    let lone = crate::testing::mk_selector("name", "lone");
    world.snapshot.nodes.get_mut(&"g1".into()).unwrap().labels.insert("name".into(), "lone".into());
    let mut pool = mk_pool("lone", &[("192.0.2.200", "192.0.2.201")]);
    pool.gateways = lone;
    world.pool(pool);
    world.claim(mk_claim("payments/lone", "lone"));
    world.settle();
    assert_eq!(world.address("192.0.2.200").plan.lease, Millis::from_secs(10));
    world.edit_pool("partners", |pool| pool.failover.lease = Some(Millis::from_secs(60)));
    world.settle();
    assert_eq!(world.address(BANK).plan.lease, Millis::from_secs(10), "T_max");
    let pool = &world.snapshot.pools[&"partners".into()].value.1;
    assert_eq!(pool.conditions[0].reason, "LeaseTooLong");
}
