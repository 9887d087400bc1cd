//! Where the network follows only gateways that the cloud has made ready, what is planned waits for one.

use super::*;
use crate::memory::LeaderMemory;
use crate::placement::READY_WITHIN;
use crate::planner::{apply, manual};

/// An address of Google Cloud, ready at g1, g2 and g3, of which one holds it; g4 and g5 are there too.
fn up() -> IdealCloud {
    let mut ideal = IdealCloud::up_in(ProviderKind::Gcp);
    for number in [4, 5] {
        ideal.world.node(&format!("g{number}"), 10 + number, true, "a");
    }
    // Of the two one becomes the third standby.
    ideal.settle();
    ideal.world.now = ideal.world.now + SCAN;
    ideal.settle();
    ideal
}

/// The cloud is away, and of the gateways only these are ready.
fn only(ideal: &mut IdealCloud, ready: &BTreeSet<NodeName>) {
    ideal.down = Some("Compute Engine cannot be reached");
    let cloud = ideal.world.memory.clouds.get_mut(&ProviderKind::Gcp).unwrap();
    cloud.prepared.retain(|node, _| ready.contains(node));
    let stored = ideal.world.snapshot.addresses.get_mut(&ip(ADDRESS)).unwrap();
    stored.value.status.prepared.retain(|at| ready.contains(&at.node));
}

fn outsider(ideal: &IdealCloud) -> NodeName {
    let plan = &ideal.world.address(ADDRESS).plan;
    let named: BTreeSet<&NodeName> = plan.owner.iter().chain(&plan.standbys).collect();
    let all = ["g1", "g2", "g3", "g4", "g5"].map(NodeName::from);
    all.into_iter().find(|node| !named.contains(node)).unwrap()
}

fn wish(ideal: &mut IdealCloud, to: &NodeName) {
    let address = ideal.world.address(ADDRESS);
    let plan = manual::move_to(&ideal.world.snapshot, address, to).unwrap();
    ideal.world.edit_plan(ADDRESS, |before| *before = plan);
}

fn ready_message(ideal: &IdealCloud) -> String {
    ideal.condition("Ready").2
}

#[test]
fn a_drain_goes_at_once_to_the_first_standby_that_is_ready() {
    // All subsets of the standbys.
    for subset in 1..8 {
        let mut ideal = up();
        let owner = ideal.owner();
        let standbys = ideal.world.address(ADDRESS).plan.standbys.clone();
        assert_eq!(standbys.len(), 3);
        let chosen = |rank: &usize| subset & (1 << rank) != 0;
        let ready: BTreeSet<NodeName> =
            (0..3).filter(chosen).map(|rank| standbys[rank].clone()).collect();
        only(&mut ideal, &ready.iter().cloned().chain([owner.clone()]).collect());
        ideal.world.spec(owner.as_str()).drain = true;
        ideal.world.step();
        let first = standbys.iter().find(|node| ready.contains(*node));
        assert_eq!(Some(&ideal.owner()), first, "{ready:?} of {standbys:?}");
        assert!(ideal.world.memory.awaited_since.is_empty());
    }
}

#[test]
fn a_drain_waits_for_a_gateway_that_is_made_ready_but_not_for_ever() {
    let mut ideal = up();
    let owner = ideal.owner();
    let standbys = ideal.world.address(ADDRESS).plan.standbys.clone();
    only(&mut ideal, &[owner.clone()].into());
    ideal.world.spec(owner.as_str()).drain = true;
    let begin = ideal.world.now;
    let wake = ideal.world.plan().wake_at;
    assert_eq!(wake, Some(begin + READY_WITHIN));
    for _ in 0..READY_WITHIN.0 / 1000 {
        ideal.world.step();
        assert_eq!(ideal.owner(), owner, "after {}", ideal.world.now.since(begin));
        let message = ready_message(&ideal);
        assert!(message.contains(&format!("it moves to {} once", standbys[0])), "{message}");
        assert!(message.contains("when it has waited for 1m"), "{message}");
        ideal.world.pass(1);
    }
    ideal.world.step();
    assert_eq!(ideal.owner(), standbys[0], "the node is to be empty");
    ideal.world.step();
    assert!(ideal.world.memory.awaited_since.is_empty(), "the next one begins anew");

    // Where it becomes ready meanwhile it goes then.
    let mut ideal = up();
    let owner = ideal.owner();
    only(&mut ideal, &[owner.clone()].into());
    ideal.world.spec(owner.as_str()).drain = true;
    ideal.world.step();
    assert_eq!(ideal.owner(), owner);
    let last = ideal.world.address(ADDRESS).plan.standbys[2].clone();
    let stored = ideal.world.snapshot.addresses.get_mut(&ip(ADDRESS)).unwrap();
    stored.value.status.prepared.push(Attachment::at(last.clone()));
    let cloud = ideal.world.memory.clouds.get_mut(&ProviderKind::Gcp).unwrap();
    let there = [(ip(ADDRESS), Attachment::at(last.clone()))].into();
    cloud.prepared.insert(last.clone(), there);
    ideal.world.step();
    assert_eq!(ideal.owner(), last);
}

#[test]
fn a_node_that_is_off_is_left_at_once() {
    for (taint, waits) in
        [("karpenter.sh/disrupted", true), ("node.cloudprovider.kubernetes.io/shutdown", false)]
    {
        let mut ideal = up();
        let owner = ideal.owner();
        only(&mut ideal, &[owner.clone()].into());
        let node = ideal.world.snapshot.nodes.get_mut(&owner).unwrap();
        node.leaving = crate::membership::departure::leaving([taint], false);
        ideal.world.step();
        assert_eq!(ideal.owner() == owner, waits, "{taint}");
    }
}

/// A turn of the controller: it plans by what it watches, then by what it reads, and writes that.
fn turn(ideal: &mut IdealCloud, refused: bool) {
    ideal.world.plan();
    let writes = ideal.world.writes();
    if !refused {
        writes.iter().for_each(|planned| apply(&mut ideal.world.snapshot, &planned.write));
    }
}

#[test]
fn a_drains_wait_is_over_for_every_plan_until_it_is_read_that_the_address_has_moved() {
    let mut ideal = up();
    let owner = ideal.owner();
    only(&mut ideal, &[owner.clone()].into());
    ideal.world.spec(owner.as_str()).drain = true;
    turn(&mut ideal, false);
    ideal.world.now = ideal.world.now + READY_WITHIN;
    turn(&mut ideal, true);
    assert_eq!(ideal.owner(), owner, "somebody wrote first");
    ideal.world.pass(1);
    turn(&mut ideal, false);
    assert_ne!(ideal.owner(), owner);
    assert!(!ideal.world.memory.awaited_since.is_empty(), "nobody has read it yet");
    turn(&mut ideal, false);
    assert!(ideal.world.memory.awaited_since.is_empty());
}

#[test]
fn a_drained_holder_whose_successor_dies_before_it_holds_waits_for_another() {
    let mut ideal = up();
    let holder = ideal.owner();
    let to = ideal.world.address(ADDRESS).plan.standbys[0].clone();
    only(&mut ideal, &[holder.clone(), to.clone()].into());
    ideal.world.spec(holder.as_str()).drain = true;
    turn(&mut ideal, false);
    assert_eq!(ideal.owner(), to);
    ideal.world.absent(&[to.as_str()]);
    turn(&mut ideal, false);
    assert_eq!(ideal.owner(), to, "{holder} serves it, and no other gateway is ready");
    ideal.world.now = ideal.world.now + READY_WITHIN;
    turn(&mut ideal, false);
    let third = ideal.owner();
    assert!(third != to && third != holder, "{third}");

    ideal.world.edit_plan(ADDRESS, |plan| plan.owner = Some(to.clone()));
    ideal.world.absent(&[holder.as_str(), to.as_str()]);
    ideal.world.memory.awaited_since.clear();
    turn(&mut ideal, false);
    assert_ne!(ideal.owner(), to, "nobody serves it");
}

#[test]
fn a_drain_after_a_wish_that_waited_waits_for_its_own_time() {
    let mut ideal = up();
    let (owner, to) = (ideal.owner(), outsider(&ideal));
    only(&mut ideal, &[owner.clone()].into());
    wish(&mut ideal, &to);
    turn(&mut ideal, false);
    ideal.world.now = ideal.world.now + READY_WITHIN;
    turn(&mut ideal, false);
    assert_eq!(ideal.owner(), owner);
    ideal.world.spec(owner.as_str()).drain = true;
    for _ in 0..READY_WITHIN.0 / 1000 {
        turn(&mut ideal, false);
        assert_eq!(ideal.owner(), owner);
        ideal.world.pass(1);
    }
    turn(&mut ideal, false);
    assert_eq!(ideal.owner(), to, "still the one that was asked for");
}

#[test]
fn a_new_leader_counts_a_drains_wait_anew() {
    let mut ideal = up();
    let owner = ideal.owner();
    only(&mut ideal, &[owner.clone()].into());
    ideal.world.spec(owner.as_str()).drain = true;
    ideal.world.step();
    ideal.world.now = ideal.world.now + READY_WITHIN;
    let clouds = std::mem::take(&mut ideal.world.memory.clouds);
    ideal.world.memory = LeaderMemory { clouds, ..LeaderMemory::default() };
    ideal.world.step();
    assert_eq!(ideal.owner(), owner);
    ideal.world.now = ideal.world.now + READY_WITHIN;
    ideal.world.step();
    assert_ne!(ideal.owner(), owner);
}

#[test]
fn a_move_to_a_gateway_outside_the_plan_makes_it_ready_first() {
    let mut ideal = up();
    let (owner, to) = (ideal.owner(), outsider(&ideal));
    wish(&mut ideal, &to);
    ideal.world.step();
    let plan = &ideal.world.address(ADDRESS).plan;
    assert_eq!((plan.owner.as_ref(), plan.standbys.last()), (Some(&owner), Some(&to)));
    assert_eq!(plan.standbys.len(), 3, "in the place of the last one");
    assert!(ideal.world.step().is_empty(), "planned once");
    ideal.settle();
    assert_eq!(ideal.owner(), to, "and then it moves");
    assert!(ideal.condition("Ready").0);
    assert!(!ready_message(&ideal).contains("it moves"), "{}", ready_message(&ideal));
}

#[test]
fn a_wish_waits_as_long_as_the_cloud_takes_and_says_why() {
    let mut ideal = up();
    let (owner, to) = (ideal.owner(), outsider(&ideal));
    ideal.down = Some("Compute Engine cannot be reached");
    wish(&mut ideal, &to);
    for _ in 0..5 {
        ideal.work();
        ideal.world.step();
        assert_eq!(ideal.owner(), owner);
        ideal.world.pass(600);
    }
    let message = ready_message(&ideal);
    assert!(ideal.condition("Ready").0, "nothing is wrong where it is");
    assert!(message.contains(&format!("it moves to {to} once")), "{message}");
    assert!(message.contains("Compute Engine cannot be reached"), "{message}");
    assert!(!message.contains("has waited"), "it waits without end: {message}");
    ideal.down = None;
    ideal.settle();
    assert_eq!(ideal.owner(), to);
}

#[test]
fn a_wish_that_the_cloud_refuses_says_why() {
    let mut ideal = up();
    let (owner, to) = (ideal.owner(), outsider(&ideal));
    wish(&mut ideal, &to);
    let cloud = ideal.world.memory.clouds.get_mut(&ProviderKind::Gcp).unwrap();
    cloud.refused.insert((to.clone(), ip(ADDRESS)), "its group is full".to_owned());
    ideal.world.step();
    ideal.world.step();
    assert_eq!(ideal.owner(), owner);
    let message = ready_message(&ideal);
    assert!(
        message.ends_with(&format!("not move to {to}, as asked: its group is full")),
        "{message}"
    );
}

#[test]
fn a_dead_holder_and_other_clouds_wait_for_nothing() {
    let mut ideal = up();
    let owner = ideal.owner();
    only(&mut ideal, &[owner.clone()].into());
    ideal.world.absent(&[owner.as_str()]);
    ideal.world.step();
    assert_ne!(ideal.owner(), owner, "whoever comes is better than nobody");

    let mut ideal = IdealCloud::up();
    let owner = ideal.owner();
    let stored = ideal.world.snapshot.addresses.get_mut(&ip(ADDRESS)).unwrap();
    stored.value.status.prepared.clear();
    ideal.world.spec(owner.as_str()).drain = true;
    ideal.world.step();
    assert_ne!(ideal.owner(), owner, "EC2 attaches it to whoever holds it");
}
