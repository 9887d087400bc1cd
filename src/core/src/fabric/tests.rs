//! The leader's plans and its work in an ideal cloud, step by step.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::{Attachment, Millis, NodeName, Pool, ProviderKind, Timestamp};
use crate::plan::Note;
use crate::testing::{World, ip, mk_claim, mk_explicit, mk_pool};

const SCAN: Millis = Millis::from_secs(300);
const ADDRESS: &str = "198.51.100.7";

/// A world, a leader's desk and the cloud behind it.
struct Sky {
    world: World,
    desk: Desk,
    /// Where the cloud has the addresses.
    attached: BTreeMap<IpAddr, NodeName>,
    /// What has the pool's tags.
    tagged: BTreeSet<IpAddr>,
    /// How many more addresses each gateway takes.
    free: u32,
    /// What the cloud answers instead of doing anything.
    down: Option<&'static str>,
    notes: Vec<Note>,
    done: Vec<Task>,
}

impl Sky {
    /// A pool of EC2 with one address that is held and attached.
    fn up() -> Self {
        let mut sky = Self::empty();
        sky.world.claim(mk_explicit("ns/c", "cloud", &[ADDRESS]));
        sky.settle();
        sky
    }

    fn empty() -> Self {
        let mut world = World::small();
        world.pool(Pool { provider: ProviderKind::Aws, ..mk_pool("cloud", &[(ADDRESS, ADDRESS)]) });
        Self {
            world,
            desk: Desk::new(ProviderKind::Aws, SCAN),
            attached: BTreeMap::new(),
            tagged: BTreeSet::from([ip("198.51.100.9")]),
            free: 10,
            down: None,
            notes: Vec::new(),
            done: Vec::new(),
        }
    }

    fn tasks(&mut self) -> Vec<Task> {
        self.desk.tasks(&self.world.snapshot, self.world.now)
    }

    fn make(&mut self, task: &Task) -> Result<Outcome, Failure> {
        if let Some(message) = self.down {
            return Err(Failure { wait: Millis::from_secs(10), message: message.into() });
        }
        Ok(match task {
            Task::Scan { addresses, nodes } => {
                let offer =
                    NodeOffer { free: self.free, can_serve: addresses.clone(), refused: None };
                let at = |(address, node): (&IpAddr, &NodeName)| {
                    (*address, Attachment::at(node.clone()))
                };
                Outcome::Seen {
                    attached: self.attached.iter().map(at).collect(),
                    offers: nodes.iter().map(|node| (node.clone(), offer.clone())).collect(),
                }
            }
            Task::Discover { .. } => Outcome::Found(self.tagged.clone()),
            Task::Attach { address, node } => {
                self.attached.insert(*address, node.clone());
                Outcome::Attached(Attachment::at(node.clone()))
            }
            Task::Detach { address, node } => {
                self.attached.retain(|at, by| at != address || by != node);
                Outcome::Detached
            }
            Task::Prepare { node, addresses } => {
                let ready = |address: &IpAddr| (*address, Ok(Attachment::at(node.clone())));
                Outcome::Prepared(addresses.iter().map(ready).collect())
            }
        })
    }

    fn finish(&mut self, task: Task) {
        let result = self.make(&task);
        self.done.push(task.clone());
        self.notes.extend(self.desk.done(task, result, self.world.now));
        let fabric = self.desk.fabric().clone();
        self.world.memory.fabrics.insert(ProviderKind::Aws, fabric);
    }

    /// The cloud's work alone, until there is none.
    fn work(&mut self) {
        for _ in 0..30 {
            let tasks = self.tasks();
            if tasks.is_empty() {
                return;
            }
            for task in tasks {
                self.finish(task);
            }
        }
        panic!("never done: {:?}", self.done);
    }

    /// Cloud, leader and agents go on until nothing changes.
    fn settle(&mut self) {
        for _ in 0..30 {
            self.work();
            let before = self.world.snapshot.clone();
            self.world.step();
            self.world.hold_all();
            self.world.acknowledge(&[]);
            if before == self.world.snapshot {
                return;
            }
        }
        panic!("never quiet");
    }

    fn condition(&self, kind: &str) -> (bool, String, String) {
        let conditions = &self.world.address(ADDRESS).status.conditions;
        let found = conditions.iter().find(|condition| condition.kind == kind).unwrap();
        (found.status, found.reason.clone(), found.message.clone())
    }

    fn owner(&self) -> NodeName {
        self.world.address(ADDRESS).plan.owner.clone().unwrap()
    }

    /// A standby has taken the lease.
    fn take_over(&mut self) -> NodeName {
        let standby = self.world.address(ADDRESS).plan.standbys[0].clone();
        self.world.hold(ip(ADDRESS), standby.as_str(), 9);
        standby
    }
}

#[test]
fn a_new_address_is_attached_to_its_holder_and_ready_at_its_standbys() {
    let sky = Sky::up();
    let address = sky.world.address(ADDRESS);
    assert_eq!(address.plan.lease, Millis::from_secs(2));
    assert_eq!(sky.attached[&ip(ADDRESS)], sky.owner());
    assert!(address.status.is_attached_to(&sky.owner()));
    assert_eq!(address.status.prepared.len(), 3, "owner and two standbys");
    assert!(sky.condition("Attached").0 && sky.condition("Ready").0);
    assert!(sky.notes.iter().any(|note| note.reason == "Attached"));
}

#[test]
fn at_rest_only_the_scan_goes_on() {
    let mut sky = Sky::up();
    sky.done.clear();
    sky.work();
    assert_eq!(sky.done, []);
    sky.world.now = sky.world.now + SCAN;
    sky.settle();
    let changing = |task: &&Task| matches!(task, Task::Attach { .. } | Task::Detach { .. });
    assert_eq!(sky.done.iter().filter(changing).count(), 0);
    assert!(sky.done.iter().any(|task| matches!(task, Task::Scan { .. })));
    assert!(sky.world.step().is_empty(), "and nothing is written");
}

#[test]
fn a_new_holder_gets_the_address_before_anything_else_is_done() {
    let mut sky = Sky::up();
    let standby = sky.take_over();
    let tasks = sky.tasks();
    assert_eq!(tasks[0], Task::Attach { address: ip(ADDRESS), node: standby.clone() });
    sky.world.step();
    let (attached, reason, message) = sky.condition("Attached");
    assert!(!attached && reason == "NotAttached", "{message}");
    assert_eq!(sky.condition("Ready").1, "NotAttached");
    for task in tasks {
        sky.finish(task);
    }
    sky.settle();
    assert!(sky.condition("Ready").0);
    assert_eq!(sky.owner(), standby, "adopted");
}

#[test]
fn what_fails_is_told_once_and_tried_again_and_another_holder_does_not_wait() {
    let mut sky = Sky::up();
    let first = sky.take_over();
    sky.down = Some("EC2 cannot be reached");
    sky.notes.clear();
    sky.work();
    sky.world.step();
    let (attached, reason, message) = sky.condition("Attached");
    assert!(
        !attached && reason == "AttachFailed" && message.contains("EC2 cannot be"),
        "{message}"
    );
    sky.world.pass(11);
    sky.work();
    let failed = sky.notes.iter().filter(|note| note.reason == "AttachFailed");
    assert_eq!(failed.count(), 1);
    let attempts = |sky: &Sky, to: &NodeName| {
        let to = |task: &&Task| matches!(task, Task::Attach { node, .. } if node == to);
        sky.done.iter().filter(to).count()
    };
    assert_eq!(attempts(&sky, &first), 2);
    // The lease moves on: the new holder is tried at once.
    let second = sky.world.address(ADDRESS).plan.standbys.iter().find(|n| **n != first).cloned();
    sky.world.hold(ip(ADDRESS), second.as_ref().unwrap().as_str(), 12);
    sky.work();
    assert_eq!(attempts(&sky, second.as_ref().unwrap()), 1);
    sky.down = None;
    sky.world.pass(11);
    sky.settle();
    assert!(sky.condition("Ready").0);
    assert!(sky.desk.fabric().faults.is_empty() && sky.desk.fabric().unread.is_none());
}

#[test]
fn somebody_elses_move_is_told_and_undone() {
    let mut sky = Sky::up();
    let owner = sky.owner();
    sky.attached.remove(&ip(ADDRESS));
    sky.world.now = sky.world.now + SCAN;
    sky.settle();
    let told = sky.notes.iter().find(|note| note.reason == "Drifted").unwrap();
    assert!(told.warning && told.message.contains("attached to no gateway"), "{}", told.message);
    assert_eq!(sky.attached[&ip(ADDRESS)], owner);
    assert!(sky.condition("Ready").0);
}

#[test]
fn a_scan_says_nothing_of_what_moved_while_it_ran() {
    let mut sky = Sky::up();
    sky.world.now = sky.world.now + SCAN;
    let scan = sky.tasks().into_iter().find(|task| matches!(task, Task::Scan { .. })).unwrap();
    let old = sky.make(&scan);
    let standby = sky.take_over();
    for task in sky.tasks() {
        sky.finish(task);
    }
    sky.notes.clear();
    let notes = sky.desk.done(scan, old, sky.world.now);
    assert_eq!(notes, [], "no drift");
    assert_eq!(sky.desk.fabric().attached[&ip(ADDRESS)].node, standby);
}

#[test]
fn a_revoked_address_is_free_once_it_is_off_every_gateway() {
    let mut sky = Sky::up();
    sky.world.edit_pool("cloud", |pool| pool.failover.release_after = Millis(0));
    sky.world.delete_claim("ns/c");
    sky.world.step();
    sky.world.acknowledge(&[]);
    sky.world.pass(200);
    for _ in 0..5 {
        sky.world.step();
        sky.world.acknowledge(&[]);
        sky.world.pass(200);
    }
    assert!(sky.world.snapshot.addresses.contains_key(&ip(ADDRESS)), "the cloud still has it");
    sky.work();
    assert!(sky.attached.is_empty());
    let detached: BTreeSet<&NodeName> = sky
        .done
        .iter()
        .filter_map(|task| match task {
            Task::Detach { node, .. } => Some(node),
            _ => None,
        })
        .collect();
    assert_eq!(detached.len(), 3, "owner and standbys");
    sky.world.step();
    assert!(sky.world.snapshot.addresses.is_empty());
}

#[test]
fn an_uninstallation_takes_every_address_off_every_gateway() {
    let mut sky = Sky::up();
    sky.world.snapshot.cluster.as_mut().unwrap().value.uninstalling = true;
    for _ in 0..3 {
        sky.work();
        sky.world.step();
    }
    assert!(sky.attached.is_empty());
    let status = &sky.world.address(ADDRESS).status;
    assert!(status.attachment.is_none() && status.prepared.is_empty(), "{status:?}");
    assert!(sky.world.step().is_empty());
}

#[test]
fn a_cloud_that_is_away_is_not_asked_without_a_pause() {
    let mut sky = Sky::up();
    sky.down = Some("EC2 cannot be reached");
    sky.world.now = sky.world.now + SCAN;
    sky.work();
    let again = sky.world.now + Millis::from_secs(10);
    assert_eq!(sky.desk.wake_at(sky.world.now), Some(again), "the end of the pause");
}

#[test]
fn a_paused_pool_moves_nothing() {
    let mut sky = Sky::up();
    sky.world.edit_pool("cloud", |pool| pool.paused = true);
    sky.settle();
    sky.take_over();
    sky.done.clear();
    sky.work();
    let attach = |task: &Task| matches!(task, Task::Attach { .. });
    assert!(!sky.done.iter().any(attach), "{:?}", sky.done);
}

#[test]
fn what_a_gone_node_has_ready_is_taken_away() {
    let mut sky = Sky::up();
    let gone = sky.world.address(ADDRESS).plan.standbys[0].clone();
    sky.world.snapshot.nodes.remove(&gone);
    sky.done.clear();
    sky.settle();
    assert!(sky.done.contains(&Task::Detach { address: ip(ADDRESS), node: gone.clone() }));
    let prepared = &sky.world.address(ADDRESS).status.prepared;
    assert!(prepared.iter().all(|at| at.node != gone), "{prepared:?}");
}

#[test]
fn a_new_leader_goes_on_from_the_statuses() {
    let mut sky = Sky::up();
    sky.desk = Desk::new(ProviderKind::Aws, SCAN);
    sky.world.memory = Default::default();
    sky.down = Some("EC2 cannot be reached");
    let tasks = sky.tasks();
    assert!(!tasks.iter().any(|task| matches!(task, Task::Attach { .. })), "{tasks:?}");
    for task in tasks {
        sky.finish(task);
    }
    sky.world.step();
    assert!(sky.condition("Ready").0, "what is attached stays so");
    assert_eq!(sky.world.address(ADDRESS).status.prepared.len(), 3);
}

#[test]
fn a_gateway_without_room_gets_nothing_new() {
    let mut sky = Sky::empty();
    sky.free = 0;
    sky.world.claim(mk_explicit("ns/c", "cloud", &[ADDRESS]));
    sky.settle();
    assert_eq!(sky.world.address(ADDRESS).plan.owner, None);
    assert_eq!(sky.condition("Ready").1, "NoGateway");
    sky.free = 1;
    sky.world.now = sky.world.now + SCAN;
    sky.settle();
    assert!(sky.condition("Ready").0);
}

#[test]
fn addresses_found_by_tags_stand_in_the_pools_status() {
    let mut sky = Sky::empty();
    sky.world.edit_pool("cloud", |pool| {
        pool.ranges.clear();
        pool.elastic_ip_tags = [("egret.dev/pool".to_owned(), "cloud".to_owned())].into();
    });
    sky.world.claim(mk_claim("ns/c", "cloud"));
    sky.settle();
    let status = &sky.world.snapshot.pools[&"cloud".into()].value.1;
    assert_eq!(status.addresses, BTreeSet::from([ip("198.51.100.9")]));
    let again = sky.world.now + SCAN;
    assert_eq!(sky.desk.wake_at(sky.world.now), Some(again), "and are looked for again");
}

#[test]
fn an_address_in_use_stays_when_its_tag_is_not_seen() {
    let mut sky = Sky::empty();
    sky.world.edit_pool("cloud", |pool| {
        pool.elastic_ip_tags = [("egret.dev/pool".to_owned(), "cloud".to_owned())].into();
    });
    sky.tagged = BTreeSet::from([ip(ADDRESS), ip("198.51.100.9")]);
    sky.world.claim(mk_explicit("ns/c", "cloud", &[ADDRESS]));
    sky.settle();
    sky.tagged.clear();
    sky.world.now = sky.world.now + SCAN;
    sky.settle();
    let status = &sky.world.snapshot.pools[&"cloud".into()].value.1;
    assert_eq!(status.addresses, BTreeSet::from([ip(ADDRESS)]), "the other one is gone");
    assert!(sky.condition("Ready").0);
}

#[test]
fn without_a_provider_the_pool_says_so() {
    let mut sky = Sky::empty();
    sky.world.step();
    let status = &sky.world.snapshot.pools[&"cloud".into()].value.1;
    let ready = status.conditions.iter().find(|condition| condition.kind == "Ready").unwrap();
    assert_eq!(ready.reason, "ProviderMissing");
    assert_eq!(ready.last_transition, Timestamp(1_000_000));
}
