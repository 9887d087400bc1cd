use proptest::prelude::*;

use super::*;
use crate::testing::Fixture;

fn members(world: &Fixture) -> Vec<String> {
    let set = world.snapshot.cluster.as_ref().and_then(|c| c.value.set.clone()).unwrap();
    set.members.iter().map(|voter| voter.node.to_string()).collect()
}

fn number(world: &Fixture) -> u64 {
    world.snapshot.cluster.as_ref().and_then(|c| c.value.set.as_ref()).unwrap().number
}

#[test]
fn the_set_grows_one_by_one_as_it_is_acknowledged() {
    let mut world = Fixture::small();
    for size in 1..=5 {
        world.step();
        assert_eq!(members(&world).len(), size);
        assert_eq!(number(&world), size as u64);
        world.step();
        assert_eq!(members(&world).len(), size, "not before a majority has acknowledged");
        world.acknowledge(&[]);
    }
    assert_eq!(world.step(), vec![]);
}

#[test]
fn three_of_four_and_one_of_two_over_zones() {
    let mut world = Fixture::empty();
    for (number, zone) in [(1, "a"), (2, "a"), (3, "b"), (4, "c")] {
        world.node(&format!("n{number}"), number, false, zone);
    }
    world.settle();
    let voters = members(&world);
    assert_eq!(voters.len(), 3);
    assert!(voters.contains(&"n3".into()) && voters.contains(&"n4".into()), "{voters:?}");
    let mut world = Fixture::empty();
    world.node("n1", 1, false, "");
    world.node("n2", 2, false, "");
    world.settle();
    assert_eq!(members(&world).len(), 1);
}

#[test]
fn only_agents_past_their_silence_vote() {
    let mut world = Fixture::small();
    for node in ["g1", "g2", "g3", "d1", "d2"] {
        world.status(node).may_vote = None;
    }
    world.step();
    assert_eq!(world.snapshot.cluster.as_ref().unwrap().value.set, None);
    world.status("d2").may_vote = Some("boot".into());
    world.settle();
    assert_eq!(members(&world), ["d2"]);
}

#[test]
fn a_dead_voter_is_replaced_after_five_minutes_dead_one_out_first() {
    let mut world = Fixture::small();
    world.node("x", 6, false, "c");
    world.settle();
    let dead = members(&world)[0].clone();
    let spare = ["d1", "d2", "g1", "g2", "g3", "x"]
        .into_iter()
        .find(|node| !members(&world).contains(&node.to_string()))
        .unwrap();
    world.absent(&[&dead]);
    world.settle();
    assert_eq!(world.plan().wake_at, Some(world.now + REPLACE_AFTER));
    world.pass(299);
    world.settle();
    assert!(members(&world).contains(&dead));
    world.pass(1);
    let before = number(&world);
    world.step();
    assert_eq!(members(&world).len(), 4);
    assert!(!members(&world).contains(&dead));
    world.acknowledge(&[&dead]);
    world.step();
    assert!(members(&world).contains(&spare.to_owned()));
    assert_eq!(number(&world), before + 2);
}

#[test]
fn without_another_node_the_set_stays() {
    let mut world = Fixture::small();
    world.settle();
    let before = members(&world);
    world.absent(&["g1"]);
    world.settle();
    world.pass(100_000);
    world.settle();
    assert_eq!(members(&world), before);
}

#[test]
fn voters_that_are_silent_after_a_boot_stay_in_the_set() {
    let mut world = Fixture::small();
    world.settle();
    let before = members(&world);
    for node in ["g1", "g3"] {
        world.status(node).may_vote = None;
        world.status(node).acknowledged_set = 0;
    }
    world.settle();
    assert_eq!(members(&world), before);
}

#[test]
fn a_drained_voter_goes_only_after_its_successor_is_in() {
    let mut world = Fixture::small();
    world.node("x", 6, false, "c");
    world.settle();
    let old = members(&world)[0].clone();
    world.spec(&old).drain = true;
    world.step();
    assert_eq!(members(&world).len(), 6);
    assert!(members(&world).contains(&old));
    world.acknowledge(&[]);
    world.step();
    assert_eq!(members(&world).len(), 5);
    assert!(!members(&world).contains(&old));
}

#[test]
fn a_voter_that_moved_is_updated_and_a_reset_names_one_survivor() {
    let mut world = Fixture::small();
    world.settle();
    let before = number(&world);
    world.status("g1").peer_port = 5000;
    world.step();
    let set = world.snapshot.cluster.as_ref().and_then(|c| c.value.set.clone()).unwrap();
    assert_eq!(set.members.len(), 5);
    assert_eq!(set.members.iter().find(|v| v.node.as_str() == "g1").unwrap().peer_port, 5000);
    let stopped = ["g1", "g2", "g3", "d1"].map(NodeName::from).into();
    let set = reset(&world.snapshot, &stopped).unwrap();
    assert_eq!(set.members.len(), 1);
    assert_eq!(set.members[0].node.as_str(), "d2");
    assert_eq!(set.number, before + 2);
}

/// What happens to voters between plans.
#[derive(Clone, Debug)]
enum VoterEvent {
    Absent(BTreeSet<u8>),
    Acknowledge(BTreeSet<u8>),
    Drain(u8, bool),
    MayVote(u8, bool),
    Pass(u64),
}

fn happening() -> impl Strategy<Value = VoterEvent> {
    let some = || prop::collection::btree_set(0u8..7, 0..4);
    prop_oneof![
        some().prop_map(VoterEvent::Absent),
        some().prop_map(VoterEvent::Acknowledge),
        Just(VoterEvent::Acknowledge(BTreeSet::new())),
        (0u8..7, any::<bool>()).prop_map(|(node, set)| VoterEvent::Drain(node, set)),
        (0u8..7, any::<bool>()).prop_map(|(node, set)| VoterEvent::MayVote(node, set)),
        (1u64..400).prop_map(VoterEvent::Pass),
    ]
}

proptest! {
    #[test]
    fn sets_change_by_one_and_only_when_acknowledged(
        happenings in prop::collection::vec(happening(), 1..60),
    ) {
        let mut world = Fixture::empty();
        for number in 1..=7 {
            world.node(&format!("n{number}"), number, number < 4, ["a", "b", "c"][number % 3]);
        }
        let name = |number: &u8| format!("n{}", number + 1);
        for happening in happenings {
            match happening {
                VoterEvent::Absent(nodes) => {
                    let nodes: Vec<String> = nodes.iter().map(name).collect();
                    world.absent(&nodes.iter().map(String::as_str).collect::<Vec<_>>());
                }
                VoterEvent::Acknowledge(not) => {
                    let not: Vec<String> = not.iter().map(name).collect();
                    world.acknowledge(&not.iter().map(String::as_str).collect::<Vec<_>>());
                }
                VoterEvent::Drain(node, set) => world.spec(&name(&node)).drain = set,
                VoterEvent::MayVote(node, set) => {
                    world.status(&name(&node)).may_vote = set.then(|| "boot".into());
                }
                VoterEvent::Pass(seconds) => world.pass(seconds),
            }
            let before = world.snapshot.cluster.as_ref().and_then(|c| c.value.set.clone());
            let acknowledged = before.as_ref().is_some_and(|set| is_acknowledged(&world.snapshot, set));
            world.step();
            let after = world.snapshot.cluster.as_ref().and_then(|c| c.value.set.clone());
            let (Some(before), Some(after)) = (before, after) else { continue };
            if before == after {
                continue;
            }
            let names = |set: &VoterSet| -> BTreeSet<NodeName> {
                set.members.iter().map(|voter| voter.node.clone()).collect()
            };
            prop_assert!(acknowledged);
            prop_assert!(after.number > before.number);
            prop_assert!(names(&before).symmetric_difference(&names(&after)).count() <= 1);
            prop_assert!(!after.members.is_empty() && after.members.len() <= 6);
        }
    }
}
