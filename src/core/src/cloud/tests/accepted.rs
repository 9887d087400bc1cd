//! Between the moment at which a cloud accepts a call and the one at which it shows its effect.

use super::*;

fn attach(node: &NodeName) -> CloudTask {
    CloudTask::Attach { address: ip(ADDRESS), node: node.clone() }
}

fn observe(node: &NodeName) -> CloudTask {
    CloudTask::Observe { address: ip(ADDRESS), node: node.clone() }
}

/// A standby has taken over, and the cloud has accepted to deliver to it.
fn accepted(kind: ProviderKind) -> (IdealCloud, NodeName) {
    let mut ideal = IdealCloud::up_in(kind);
    ideal.shows_late = true;
    let standby = ideal.take_over();
    let tasks = ideal.tasks();
    assert!(tasks.contains(&attach(&standby)), "{tasks:?}");
    for task in tasks {
        ideal.finish(task);
    }
    ideal.world.step();
    (ideal, standby)
}

fn accepted_at(ideal: &IdealCloud) -> Option<NodeName> {
    ideal.world.address(ADDRESS).status.accepted.as_ref().map(|at| at.node.clone())
}

#[test]
fn what_is_accepted_is_said_at_once_and_is_attached_once_it_is_seen() {
    let (mut ideal, standby) = accepted(ProviderKind::Aws);
    let status = &ideal.world.address(ADDRESS).status;
    assert!(!status.is_attached_to(&standby) && status.attachment.is_some(), "{status:?}");
    assert_eq!(accepted_at(&ideal), Some(standby.clone()));
    let (attached, reason, message) = ideal.condition("Attached");
    assert!(!attached && reason == "NotAttached", "{message}");
    assert!(message.contains("has accepted"), "{message}");
    assert_eq!(ideal.condition("Ready").1, "NotAttached");
    let tasks = ideal.tasks();
    assert_eq!(tasks, [observe(&standby)], "it is not attached twice");
    for task in tasks {
        ideal.finish(task);
    }
    ideal.world.step();
    assert_eq!(accepted_at(&ideal), None);
    assert!(ideal.world.address(ADDRESS).status.is_attached_to(&standby));
    assert!(ideal.condition("Attached").0 && ideal.condition("Ready").0);
}

#[test]
fn what_is_accepted_and_has_no_effect_is_tried_again_in_ever_longer_pauses() {
    let (mut ideal, standby) = accepted(ProviderKind::Aws);
    let owner = NodeName::from("g1");
    for failures in 1..4 {
        // Taken back behind the answer.
        ideal.attached.insert(ip(ADDRESS), owner.clone());
        ideal.work();
        ideal.world.step();
        assert_eq!(accepted_at(&ideal), None, "its word is worth nothing now");
        assert_eq!(ideal.condition("Attached").1, "AttachFailed");
        assert_eq!(ideal.reconciler.failures(&attach(&standby)), failures);
        assert!(!ideal.tasks().contains(&attach(&standby)), "it waits");
        ideal.world.pass(11);
        let tasks = ideal.tasks();
        assert!(tasks.contains(&attach(&standby)), "{tasks:?}");
        for task in tasks {
            ideal.finish(task);
        }
        ideal.world.step();
        assert_eq!(accepted_at(&ideal), Some(standby.clone()));
    }
    ideal.settle();
    assert!(ideal.condition("Ready").0);
    assert_eq!(ideal.reconciler.failures(&attach(&standby)), 0);
}

#[test]
fn the_next_holder_ends_what_was_accepted_for_the_one_before() {
    let (mut ideal, first) = accepted(ProviderKind::Aws);
    let standbys = ideal.world.address(ADDRESS).plan.standbys.clone();
    let second = standbys.iter().find(|node| **node != first).unwrap();
    ideal.world.hold(ip(ADDRESS), second.as_str(), 12);
    let tasks = ideal.tasks();
    assert_eq!(tasks[0], attach(second));
    let cloud_state = ideal.reconciler.state().clone();
    ideal.world.memory.clouds.insert(ideal.kind, cloud_state);
    ideal.world.step();
    assert_eq!(accepted_at(&ideal), None);
    for task in tasks {
        ideal.finish(task);
    }
    ideal.world.step();
    assert_eq!(accepted_at(&ideal).as_ref(), Some(second));
}

#[test]
fn a_new_leader_takes_the_answer_over_and_sees_it_through() {
    let (mut ideal, standby) = accepted(ProviderKind::Aws);
    let tasks = new_leader(&mut ideal);
    assert_eq!(tasks[0], observe(&standby), "the call was made");
    assert_eq!(accepted_at(&ideal), Some(standby.clone()), "directors go on");
    for task in tasks {
        ideal.finish(task);
    }
    ideal.settle();
    assert!(ideal.condition("Ready").0 && accepted_at(&ideal).is_none());
}

#[test]
fn a_new_leader_calls_again_where_the_answer_that_it_took_over_is_worth_nothing() {
    let (mut ideal, standby) = accepted(ProviderKind::Aws);
    ideal.attached.insert(ip(ADDRESS), NodeName::from("g1"));
    let tasks = new_leader(&mut ideal);
    // The cloud is not read meanwhile, and the status still says accepted.
    ideal.finish(tasks[0].clone());
    ideal.tasks();
    assert_eq!(ideal.reconciler.state().accepted.get(&ip(ADDRESS)), None);
    ideal.world.pass(11);
    let tasks = ideal.tasks();
    assert!(tasks.contains(&attach(&standby)), "{tasks:?}");
}

/// Another leader's first tasks, after its first plan.
fn new_leader(ideal: &mut IdealCloud) -> Vec<CloudTask> {
    ideal.reconciler = Reconciler::new(ideal.kind, SCAN);
    ideal.world.memory = Default::default();
    let tasks = ideal.tasks();
    ideal.world.memory.clouds.insert(ideal.kind, ideal.reconciler.state().clone());
    ideal.world.step();
    tasks
}

#[test]
fn a_revocation_ends_what_was_accepted() {
    let (mut ideal, _) = accepted(ProviderKind::Aws);
    ideal.world.edit_pool("cloud", |pool| pool.failover.release_after = Millis(0));
    ideal.world.delete_claim("ns/c");
    ideal.world.step();
    ideal.work();
    assert!(ideal.attached.is_empty() && ideal.reconciler.state().accepted.is_empty());
}

#[test]
fn nobody_is_told_of_it_where_the_cloud_is_no_fence() {
    let (ideal, _) = accepted(ProviderKind::Gcp);
    assert!(!ideal.reconciler.state().accepted.is_empty());
    assert_eq!(accepted_at(&ideal), None);
}
