use crate::membership::liveness::silent_majority;
use crate::model::{Condition, ConditionType, NodeName};
use crate::testing::*;

const BANK: &str = "192.0.2.100";

fn world() -> Fixture {
    let mut world = Fixture::small();
    world.claim(mk_claim("ns/c", "partners"));
    world.settle();
    for director in ["d1", "d2"] {
        world.status(director).block_needs.insert(ip(BANK), 1);
    }
    world.settle();
    world
}

fn holder(world: &Fixture) -> NodeName {
    world.address(BANK).status.holding.clone().unwrap().node
}

/// Whether the address is ready, why, and the sentence.
fn address(world: &Fixture) -> (bool, String, String) {
    told(&world.address(BANK).status.conditions, ConditionType::Ready)
}

fn claim(world: &Fixture, kind: ConditionType) -> (bool, String, String) {
    told(&world.snapshot.claims[&mk_ref("ns/c")].value.1.conditions, kind)
}

fn told(conditions: &[Condition], kind: ConditionType) -> (bool, String, String) {
    let found = conditions.iter().find(|known| known.kind == kind).unwrap();
    (found.status, found.reason.clone(), found.message.clone())
}

fn voters(world: &Fixture) -> Vec<NodeName> {
    let set = world.snapshot.cluster.as_ref().unwrap().value.set.as_ref().unwrap();
    set.members.iter().map(|voter| voter.node.clone()).collect()
}

/// `voter` does not hear `others`.
fn unheard(world: &mut Fixture, voter: &NodeName, others: &[NodeName]) {
    world.status(voter.as_str()).absent = others.iter().cloned().collect();
}

#[test]
fn too_few_voters_that_are_left_say_so_of_addresses_claims_and_nodes() {
    let mut world = world();
    let voters = voters(&world);
    let (left, silent) = voters.split_at(voters.len() / 2);
    assert!(left.len() >= 2 && address(&world).0);
    for one in left {
        unheard(&mut world, one, silent);
    }
    world.step();
    let (ready, reason, message) = address(&world);
    assert_eq!((ready, reason.as_str()), (false, "NoMajority"));
    assert!(message.contains("egret voters reset") && message.contains(silent[0].as_str()));
    assert_eq!(claim(&world, ConditionType::Ready).1, "NoMajority");
    let status = &world.snapshot.egress_nodes[&silent[0]].value.status;
    let (absent, _, message) = told(&status.conditions, ConditionType::AgentAbsent);
    assert!(absent && message.starts_with("too few voters are left"), "{message}");
    world.pass(60);
    assert_eq!(world.step(), vec![], "it is said once, and nothing is planned by it");
    for one in left {
        unheard(&mut world, one, &[]);
    }
    world.step();
    assert!(address(&world).0 && claim(&world, ConditionType::Ready).0);
    assert_eq!(world.snapshot.egress_nodes[&silent[0]].value.status.agent_absent(), None);
}

#[test]
fn a_minority_that_is_cut_off_alone_or_does_not_agree_speaks_for_nobody() {
    let mut world = world();
    let voters = voters(&world);
    let (few, many) = voters.split_at(voters.len() / 2);
    for one in few {
        unheard(&mut world, one, many);
    }
    assert_eq!(silent_majority(&world.snapshot).unwrap().left, few.iter().cloned().collect());
    for one in many {
        unheard(&mut world, one, few);
    }
    assert_eq!(silent_majority(&world.snapshot), None, "the majority works");
    for one in many {
        unheard(&mut world, one, &[]);
    }
    unheard(&mut world, &few[0], &[]);
    assert_eq!(silent_majority(&world.snapshot), None, "the other one hears them");
}

#[test]
fn a_holder_that_no_majority_answers_says_it_for_its_addresses() {
    let mut world = world();
    let holder = holder(&world);
    let condition =
        Condition::new(ConditionType::Ready, false, "NoMajority", "no majority", world.now);
    world.status(holder.as_str()).conditions.push(condition);
    world.step();
    let (ready, reason, message) = address(&world);
    assert_eq!((ready, reason.as_str()), (false, "NoMajority"));
    assert!(message.starts_with(&format!("{holder} held it last")), "{message}");
    world.status(holder.as_str()).conditions.clear();
    world.step();
    assert!(address(&world).0);
}

#[test]
fn a_holder_that_directors_do_not_reach_is_said_by_claim_and_address() {
    let mut world = world();
    let holder = holder(&world);
    let complain = |world: &mut Fixture, director: &str| {
        world.status(director).unreached_holders.insert(holder.clone());
        world.step();
    };
    complain(&mut world, "g3");
    assert!(
        address(&world).0 && claim(&world, ConditionType::Programmed).0,
        "no pod there uses it"
    );
    complain(&mut world, "d1");
    let (ready, _, message) = address(&world);
    assert!(ready && message.ends_with("not reached through the tunnel by d1"), "{message}");
    let (programmed, reason, message) = claim(&world, ConditionType::Programmed);
    assert_eq!((programmed, reason.as_str()), (false, "NodeNotReady"));
    assert!(message.starts_with(&format!("d1: it does not reach {holder}")), "{message}");
    complain(&mut world, "d2");
    let (ready, reason, message) = address(&world);
    assert_eq!((ready, reason.as_str()), (false, "HolderUnreached"));
    assert!(message.contains("2 of the 2 nodes") && message.contains("(d1, d2)"), "{message}");
    for director in ["g3", "d1", "d2"] {
        world.status(director).unreached_holders.clear();
    }
    world.step();
    assert!(address(&world).0 && claim(&world, ConditionType::Ready).0);
}
