//! The leader's plans and its work in an ideal cloud, step by step.

use super::*;
use crate::model::{
    Attachment, Claim, EventDraft, Millis, NodeName, Pool, ProviderKind, Timestamp,
};
use crate::testing::{Fixture, ip, mk_claim, mk_explicit, mk_pool};
use std::collections::{BTreeMap, BTreeSet};

mod accepted;
mod anew;
mod ideal_cloud;
mod neighbours;
mod planned_moves;

use crate::reason::EventReason;
use ideal_cloud::IdealCloud;

const SCAN: Millis = Millis::from_secs(300);
const ADDRESS: &str = "198.51.100.7";

#[test]
fn a_new_address_is_attached_to_its_holder_and_ready_at_its_standbys() {
    let ideal = IdealCloud::up();
    let address = ideal.world.address(ADDRESS);
    assert_eq!(address.plan.lease, Millis::from_secs(2));
    assert_eq!(ideal.attached[&ip(ADDRESS)], ideal.owner());
    assert!(address.status.is_attached_to(&ideal.owner()));
    assert_eq!(address.status.prepared.len(), 3, "owner and two standbys");
    assert!(ideal.condition("Attached").0 && ideal.condition("Ready").0);
    assert!(ideal.notes.iter().any(|note| note.reason == EventReason::Attached));
}

#[test]
fn at_rest_only_the_scan_goes_on() {
    let mut ideal = IdealCloud::up();
    ideal.done.clear();
    ideal.work();
    assert_eq!(ideal.done, []);
    ideal.world.now = ideal.world.now + SCAN;
    ideal.settle();
    let changing =
        |task: &&CloudTask| matches!(task, CloudTask::Attach { .. } | CloudTask::Detach { .. });
    assert_eq!(ideal.done.iter().filter(changing).count(), 0);
    assert!(ideal.done.iter().any(|task| matches!(task, CloudTask::Scan { .. })));
    assert!(ideal.world.step().is_empty(), "and nothing is written");
}

#[test]
fn a_new_holder_gets_the_address_before_anything_else_is_done() {
    let mut ideal = IdealCloud::up();
    let standby = ideal.take_over();
    let tasks = ideal.tasks();
    assert_eq!(tasks[0], CloudTask::Attach { address: ip(ADDRESS), node: standby.clone() });
    ideal.world.step();
    let (attached, reason, message) = ideal.condition("Attached");
    assert!(!attached && reason == "NotAttached", "{message}");
    assert_eq!(ideal.condition("Ready").1, "NotAttached");
    for task in tasks {
        ideal.finish(task);
    }
    ideal.settle();
    assert!(ideal.condition("Ready").0);
    assert_eq!(ideal.owner(), standby, "adopted");
}

#[test]
fn what_fails_is_told_once_and_tried_again_and_another_holder_does_not_wait() {
    let mut ideal = IdealCloud::up();
    let first = ideal.take_over();
    ideal.down = Some("EC2 cannot be reached");
    ideal.notes.clear();
    ideal.work();
    ideal.world.step();
    let (attached, reason, message) = ideal.condition("Attached");
    assert!(
        !attached && reason == "AttachFailed" && message.contains("EC2 cannot be"),
        "{message}"
    );
    ideal.world.pass(11);
    ideal.work();
    let failed = ideal.notes.iter().filter(|note| note.reason == EventReason::AttachFailed);
    assert_eq!(failed.count(), 1);
    let attempts = |ideal: &IdealCloud, to: &NodeName| {
        let to = |task: &&CloudTask| matches!(task, CloudTask::Attach { node, .. } if node == to);
        ideal.done.iter().filter(to).count()
    };
    assert_eq!(attempts(&ideal, &first), 2);
    // The lease moves on: the new holder is tried at once.
    let second = ideal.world.address(ADDRESS).plan.standbys.iter().find(|n| **n != first).cloned();
    ideal.world.hold(ip(ADDRESS), second.as_ref().unwrap().as_str(), 12);
    ideal.work();
    assert_eq!(attempts(&ideal, second.as_ref().unwrap()), 1);
    ideal.down = None;
    ideal.world.pass(11);
    ideal.settle();
    assert!(ideal.condition("Ready").0);
    assert!(
        ideal.reconciler.state().faults.is_empty() && ideal.reconciler.state().read_error.is_none()
    );
}

#[test]
fn somebody_elses_move_is_told_and_undone() {
    let mut ideal = IdealCloud::up();
    let owner = ideal.owner();
    ideal.attached.remove(&ip(ADDRESS));
    ideal.world.now = ideal.world.now + SCAN;
    ideal.settle();
    let told = ideal.notes.iter().find(|note| note.reason == EventReason::Drifted).unwrap();
    assert!(told.warning && told.message.contains("attached to no gateway"), "{}", told.message);
    assert_eq!(ideal.attached[&ip(ADDRESS)], owner);
    assert!(ideal.condition("Ready").0);
}

#[test]
fn a_scan_says_nothing_of_what_moved_while_it_ran() {
    let mut ideal = IdealCloud::up();
    ideal.world.now = ideal.world.now + SCAN;
    let scan =
        ideal.tasks().into_iter().find(|task| matches!(task, CloudTask::Scan { .. })).unwrap();
    let old = ideal.make(&scan);
    let standby = ideal.take_over();
    for task in ideal.tasks() {
        ideal.finish(task);
    }
    ideal.notes.clear();
    let notes = ideal.reconciler.done(scan, old, ideal.world.now);
    assert_eq!(notes, [], "no drift");
    assert_eq!(ideal.reconciler.state().attached[&ip(ADDRESS)].node, standby);
}

#[test]
fn a_revoked_address_is_free_once_it_is_off_every_gateway() {
    let mut ideal = IdealCloud::up();
    ideal.world.edit_pool("cloud", |pool| pool.failover.release_after = Millis(0));
    ideal.world.delete_claim("ns/c");
    ideal.world.step();
    ideal.world.acknowledge(&[]);
    ideal.world.pass(200);
    for _ in 0..5 {
        ideal.world.step();
        ideal.world.acknowledge(&[]);
        ideal.world.pass(200);
    }
    assert!(ideal.world.snapshot.addresses.contains_key(&ip(ADDRESS)), "the cloud still has it");
    ideal.work();
    assert!(ideal.attached.is_empty());
    let detached: BTreeSet<&NodeName> = ideal
        .done
        .iter()
        .filter_map(|task| match task {
            CloudTask::Detach { node, .. } => Some(node),
            _ => None,
        })
        .collect();
    assert_eq!(detached.len(), 3, "owner and standbys");
    ideal.world.step();
    assert!(ideal.world.snapshot.addresses.is_empty());
}

#[test]
fn an_uninstallation_takes_every_address_off_every_gateway() {
    let mut ideal = IdealCloud::up();
    ideal.world.snapshot.cluster.as_mut().unwrap().value.uninstalling = true;
    for _ in 0..3 {
        ideal.work();
        ideal.world.step();
    }
    assert!(ideal.attached.is_empty());
    let status = &ideal.world.address(ADDRESS).status;
    assert!(status.attachment.is_none() && status.prepared.is_empty(), "{status:?}");
    assert!(ideal.world.step().is_empty());
}

#[test]
fn a_cloud_that_is_away_is_not_asked_without_a_pause() {
    let mut ideal = IdealCloud::up();
    ideal.down = Some("EC2 cannot be reached");
    ideal.world.now = ideal.world.now + SCAN;
    ideal.work();
    let again = ideal.world.now + Millis::from_secs(10);
    assert_eq!(ideal.reconciler.wake_at(ideal.world.now), Some(again), "the end of the pause");
}

#[test]
fn a_paused_pool_moves_nothing() {
    let mut ideal = IdealCloud::up();
    ideal.world.edit_pool("cloud", |pool| pool.paused = true);
    ideal.settle();
    ideal.take_over();
    ideal.done.clear();
    ideal.work();
    let attach = |task: &CloudTask| matches!(task, CloudTask::Attach { .. });
    assert!(!ideal.done.iter().any(attach), "{:?}", ideal.done);
}

#[test]
fn what_a_gone_node_has_ready_is_taken_away() {
    let mut ideal = IdealCloud::up();
    let gone = ideal.world.address(ADDRESS).plan.standbys[0].clone();
    ideal.world.snapshot.nodes.remove(&gone);
    ideal.done.clear();
    ideal.settle();
    assert!(ideal.done.contains(&CloudTask::Detach { address: ip(ADDRESS), node: gone.clone() }));
    let prepared = &ideal.world.address(ADDRESS).status.prepared;
    assert!(prepared.iter().all(|at| at.node != gone), "{prepared:?}");
}

#[test]
fn a_new_leader_goes_on_from_the_statuses() {
    let mut ideal = IdealCloud::up();
    ideal.reconciler = Reconciler::new(ProviderKind::Aws, SCAN);
    ideal.world.memory = Default::default();
    ideal.down = Some("EC2 cannot be reached");
    let tasks = ideal.tasks();
    assert!(!tasks.iter().any(|task| matches!(task, CloudTask::Attach { .. })), "{tasks:?}");
    for task in tasks {
        ideal.finish(task);
    }
    ideal.world.step();
    assert!(ideal.condition("Ready").0, "what is attached stays so");
    assert_eq!(ideal.world.address(ADDRESS).status.prepared.len(), 3);
}

#[test]
fn a_gateway_without_room_gets_nothing_new() {
    let mut ideal = IdealCloud::empty();
    ideal.free = 0;
    ideal.world.claim(mk_explicit("ns/c", "cloud", &[ADDRESS]));
    ideal.settle();
    assert_eq!(ideal.world.address(ADDRESS).plan.owner, None);
    let (_, reason, message) = ideal.condition("Ready");
    let full =
        "it has as many addresses as the cloud, or spec.gateways.maxAddressesPerNode, allows";
    assert_eq!(reason, "NoGateway");
    assert_eq!(message, format!("no node may carry it: g1, g2, g3: {full}"));
    ideal.free = 1;
    ideal.world.now = ideal.world.now + SCAN;
    ideal.settle();
    assert!(ideal.condition("Ready").0);
}

#[test]
fn a_new_address_that_the_cloud_cannot_serve_says_why_and_is_served_once_it_can() {
    let mut ideal = IdealCloud::empty();
    ideal.unserved = Some("it is not reserved: reserve it");
    ideal.world.claim(mk_explicit("ns/c", "cloud", &[ADDRESS]));
    // The plan comes first: the cloud is asked for addresses in use.
    ideal.world.step();
    let (_, reason, message) = ideal.condition("Ready");
    assert_eq!(reason, "NoGateway");
    assert!(message.contains("built without the provider"), "{message}");
    ideal.down = Some("EC2 cannot be reached");
    ideal.work();
    ideal.world.step();
    let (_, _, message) = ideal.condition("Ready");
    assert_eq!(message, "it is not known yet which node may carry it: EC2 cannot be reached");
    ideal.down = None;
    ideal.world.pass(11);
    ideal.settle();
    let (_, reason, message) = ideal.condition("Ready");
    assert_eq!(reason, "NoGateway");
    assert_eq!(message, "no node may carry it: g1, g2, g3: it is not reserved: reserve it");
    let claim = &ideal.world.snapshot.claims[&crate::testing::mk_ref("ns/c")].value.1;
    let ready = claim.conditions.iter().find(|one| one.kind.as_str() == "Ready").unwrap();
    assert_eq!(ready.message, format!("{ADDRESS}: {message}"));
    assert!(ideal.world.step().is_empty(), "said once");
    ideal.unserved = None;
    ideal.world.now = ideal.world.now + SCAN;
    ideal.settle();
    assert!(ideal.condition("Ready").0);
}

#[test]
fn addresses_found_by_tags_stand_in_the_pools_status() {
    let mut ideal = IdealCloud::empty();
    ideal.world.edit_pool("cloud", |pool| {
        pool.ranges.clear();
        pool.discovery_tags = [("egret.dev/pool".to_owned(), "cloud".to_owned())].into();
    });
    ideal.world.claim(mk_claim("ns/c", "cloud"));
    ideal.settle();
    let status = &ideal.world.snapshot.pools[&"cloud".into()].value.1;
    assert_eq!(status.addresses, BTreeSet::from([ip("198.51.100.9")]));
    let again = ideal.world.now + SCAN;
    assert_eq!(ideal.reconciler.wake_at(ideal.world.now), Some(again), "and are looked for again");
}

#[test]
fn an_address_in_use_stays_when_its_tag_is_not_seen() {
    let mut ideal = IdealCloud::empty();
    ideal.world.edit_pool("cloud", |pool| {
        pool.discovery_tags = [("egret.dev/pool".to_owned(), "cloud".to_owned())].into();
    });
    ideal.tagged = BTreeSet::from([ip(ADDRESS), ip("198.51.100.9")]);
    ideal.world.claim(mk_explicit("ns/c", "cloud", &[ADDRESS]));
    ideal.settle();
    ideal.tagged.clear();
    ideal.world.now = ideal.world.now + SCAN;
    ideal.settle();
    let status = &ideal.world.snapshot.pools[&"cloud".into()].value.1;
    assert_eq!(status.addresses, BTreeSet::from([ip(ADDRESS)]), "the other one is gone");
    assert!(ideal.condition("Ready").0);
}

#[test]
fn without_a_provider_the_pool_says_so() {
    let mut ideal = IdealCloud::empty();
    ideal.world.step();
    let status = &ideal.world.snapshot.pools[&"cloud".into()].value.1;
    let ready =
        status.conditions.iter().find(|condition| condition.kind.as_str() == "Ready").unwrap();
    assert_eq!(ready.reason, "ProviderMissing");
    assert_eq!(ready.last_transition, Timestamp(1_000_000));
}

#[test]
fn equal_reasons_of_a_node_are_one() {
    let asked = [ip("198.51.100.7"), ip("198.51.100.8"), ip("198.51.100.9")].into();
    let why = |address| (address != ip("198.51.100.9")).then(|| "its group is full".to_owned());
    let capacity = NodeCapacity::of(9, &asked, why);
    let reasons: Vec<_> = capacity.unserved.values().collect();
    assert_eq!((reasons.len(), &**reasons[0]), (2, "its group is full"));
    assert!(std::sync::Arc::ptr_eq(reasons[0], reasons[1]));
}
