use std::collections::{BTreeMap, VecDeque};

use egret_core::model::{ClaimRef, EgressAddress, Namespace, ResourceVersion, Stored};
use egret_ports::contract::objects::bare_plan;
use proptest::prelude::*;

use super::super::decode::ReadItem;
use super::*;

const KIND: ResourceKind = ResourceKind::Namespace;

fn all() -> WatchSource {
    WatchSource { kind: KIND, selector: Selector::All }
}

fn labelled() -> WatchSource {
    WatchSource { kind: KIND, selector: Selector::Labelled("role") }
}

fn id(name: &str) -> ObjectId {
    ObjectId::cluster(KIND, name)
}

/// An object whose content is its version, so that no two versions are equal.
fn seen(name: &str, uid: u64, revision: u64) -> Decoded {
    let labels = [("revision".to_owned(), revision.to_string())].into();
    let namespace = Namespace { name: name.into(), labels };
    Decoded {
        id: id(name),
        uid: Uid::new(uid.to_string()),
        revision: Some(revision),
        item: Ok(ReadItem { item: Some(DecodedItem::Namespace(namespace)), fault: None }),
    }
}

fn shown(index: &Index) -> BTreeMap<String, u64> {
    let snapshot = index.snapshot(SnapshotScope::Cluster);
    let namespaces = snapshot.namespaces.values();
    namespaces
        .map(|found| (found.name.to_string(), found.labels["revision"].parse().unwrap()))
        .collect()
}

fn expect(index: &Index, wanted: &[(&str, u64)]) {
    let wanted: Vec<(String, u64)> =
        wanted.iter().map(|(name, revision)| ((*name).to_owned(), *revision)).collect();
    assert_eq!(shown(index), wanted.into_iter().collect());
}

#[test]
fn a_list_that_is_older_than_the_watch_changes_nothing() {
    let mut index = Index::default();
    index.reset(&all(), vec![seen("a", 1, 3), seen("b", 2, 4)], Some(5));
    index.delete(&all(), &id("a"), Some(8));
    index.reset(&all(), vec![seen("a", 1, 3), seen("b", 2, 4)], Some(7));
    expect(&index, &[("b", 4)]);
}

#[test]
fn what_goes_from_one_view_stays_in_the_other() {
    let mut index = Index::default();
    index.reset(&all(), vec![seen("a", 1, 3)], Some(5));
    index.reset(&labelled(), vec![seen("a", 1, 3)], Some(5));
    index.delete(&labelled(), &id("a"), Some(6));
    expect(&index, &[("a", 3)]);
    index.forget(&all());
    expect(&index, &[]);
}

#[test]
fn an_own_write_is_shown_until_the_watch_has_its_say() {
    let mut index = Index::default();
    index.reset(&all(), Vec::new(), Some(5));
    index.written(seen("a", 1, 6));
    expect(&index, &[("a", 6)]);
    index.reset(&all(), Vec::new(), Some(6));
    expect(&index, &[]);
    index.written(seen("a", 1, 6));
    expect(&index, &[]);
}

#[test]
fn after_a_restored_backup_the_list_counts() {
    let mut index = Index::default();
    index.reset(&all(), vec![seen("a", 1, 900), seen("b", 2, 901)], Some(1000));
    index.lose(&all());
    expect(&index, &[("a", 900), ("b", 901)]);
    index.reset(&all(), vec![seen("a", 1, 40)], Some(50));
    expect(&index, &[("a", 40)]);
}

#[test]
fn the_last_good_value_stays_but_not_for_another_object_of_the_name() {
    let mut index = Index::default();
    index.reset(&all(), vec![seen("a", 1, 3)], Some(5));
    let broken =
        |uid, revision| Decoded { item: Err("wrong".to_owned()), ..seen("a", uid, revision) };
    index.apply(&all(), broken(1, 6));
    expect(&index, &[("a", 3)]);
    assert_eq!(index.snapshot(SnapshotScope::Cluster).invalid_objects.len(), 1);
    index.apply(&all(), broken(2, 7));
    expect(&index, &[]);
    index.apply(&all(), seen("a", 2, 8));
    expect(&index, &[("a", 8)]);
    assert!(index.snapshot(SnapshotScope::Cluster).invalid_objects.is_empty());
}

#[test]
fn equal_versions_of_what_is_kept_are_no_change() {
    let mut index = Index::default();
    index.reset(&all(), vec![seen("a", 1, 3)], Some(5));
    let before = index.changes();
    // Kubernetes' own objects change often where nothing of what is kept does.
    index.apply(&all(), Decoded { revision: Some(9), ..seen("a", 1, 3) });
    index.bookmark(&all(), Some(10));
    assert_eq!(index.changes(), before);
    assert_eq!(index.floor(&all()), Some(10));
}

/// What happens in a random history.
#[derive(Clone, Debug)]
enum Step {
    /// An object is made or changed, with the label or without, by somebody or by this process.
    Put {
        name: usize,
        label: bool,
        own: bool,
    },
    Delete {
        name: usize,
    },
    /// A watch brings its next event.
    Deliver {
        source: usize,
    },
    /// A quorum list is answered; its answer arrives later.
    List {
        source: usize,
    },
    Arrive {
        source: usize,
    },
    /// The answer to an own write arrives.
    Answer,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize, any::<bool>(), any::<bool>())
            .prop_map(|(name, label, own)| Step::Put { name, label, own }),
        2 => (0..3_usize).prop_map(|name| Step::Delete { name }),
        5 => (0..2_usize).prop_map(|source| Step::Deliver { source }),
        1 => (0..2_usize).prop_map(|source| Step::List { source }),
        1 => (0..2_usize).prop_map(|source| Step::Arrive { source }),
        2 => Just(Step::Answer),
    ]
}

/// An API server with two watches of one kind: one shows `a` and what has the label, the other
/// what has the label.
#[derive(Default)]
struct Server {
    revision: u64,
    objects: BTreeMap<usize, (Decoded, bool)>,
    watches: [VecDeque<(u64, Event)>; 2],
    lists: [VecDeque<(u64, Vec<Decoded>)>; 2],
    answers: VecDeque<Decoded>,
}

enum Event {
    Put(Decoded),
    Gone(ObjectId),
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn sources() -> [WatchSource; 2] {
    [WatchSource { kind: KIND, selector: Selector::Named("a".to_owned()) }, labelled()]
}

fn selects(source: usize, name: usize, label: bool) -> bool {
    if source == 0 { name == 0 } else { label }
}

impl Server {
    fn put(&mut self, name: usize, label: bool, own: bool) {
        self.revision += 1;
        let before = self.objects.get(&name);
        let uid = before.map_or(self.revision, |(seen, _)| seen.uid.as_str().parse().unwrap());
        let had = before.map(|(_, label)| *label);
        let next = seen(NAMES[name], uid, self.revision);
        for source in 0..2 {
            let shown = had.is_some_and(|label| selects(source, name, label));
            if selects(source, name, label) {
                self.watches[source].push_back((self.revision, Event::Put(next.clone())));
            } else if shown {
                self.watches[source].push_back((self.revision, Event::Gone(id(NAMES[name]))));
            }
        }
        if own && (0..2).any(|source| selects(source, name, label)) {
            self.answers.push_back(next.clone());
        }
        self.objects.insert(name, (next, label));
    }

    fn delete(&mut self, name: usize) {
        let Some((_, label)) = self.objects.remove(&name) else { return };
        self.revision += 1;
        for source in (0..2).filter(|source| selects(*source, name, label)) {
            self.watches[source].push_back((self.revision, Event::Gone(id(NAMES[name]))));
        }
    }

    fn list(&self, source: usize) -> (u64, Vec<Decoded>) {
        let selected =
            self.objects.iter().filter(|(name, (_, label))| selects(source, **name, *label));
        (self.revision, selected.map(|(_, (seen, _))| seen.clone()).collect())
    }

    fn deliver(&mut self, source: usize, index: &mut Index) {
        match self.watches[source].pop_front() {
            Some((_, Event::Put(seen))) => index.apply(&sources()[source], seen),
            Some((revision, Event::Gone(id))) => {
                index.delete(&sources()[source], &id, Some(revision));
            }
            None => {}
        }
    }

    fn arrive(&mut self, source: usize, index: &mut Index) {
        if let Some((revision, live)) = self.lists[source].pop_front() {
            index.reset(&sources()[source], live, Some(revision));
        }
    }

    fn truth(&self) -> BTreeMap<String, u64> {
        let shown = self
            .objects
            .iter()
            .filter(|(name, (_, label))| (0..2).any(|source| selects(source, **name, *label)));
        shown.map(|(name, (seen, _))| (NAMES[*name].to_owned(), seen.revision.unwrap())).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever order lists, events and answers come in, in the end the index is what is there.
    #[test]
    fn every_history_ends_in_the_truth(steps in prop::collection::vec(step(), 0..60)) {
        let mut server = Server { revision: 1, ..Server::default() };
        let mut index = Index::default();
        for source in sources() {
            index.reset(&source, Vec::new(), Some(1));
        }
        for step in steps {
            match step {
                Step::Put { name, label, own } => server.put(name, label, own),
                Step::Delete { name } => server.delete(name),
                Step::Deliver { source } => server.deliver(source, &mut index),
                Step::List { source } => {
                    let listed = server.list(source);
                    server.lists[source].push_back(listed);
                }
                Step::Arrive { source } => server.arrive(source, &mut index),
                Step::Answer => {
                    if let Some(seen) = server.answers.pop_front() {
                        index.written(seen);
                    }
                }
            }
        }
        while let Some(seen) = server.answers.pop_front() {
            index.written(seen);
        }
        for source in 0..2 {
            while !server.lists[source].is_empty() {
                server.arrive(source, &mut index);
            }
            while !server.watches[source].is_empty() {
                server.deliver(source, &mut index);
            }
        }
        prop_assert_eq!(shown(&index), server.truth());
    }

    /// A snapshot after a quorum list of everything is at least as new as the list.
    #[test]
    fn a_list_brings_the_index_up_to_its_moment(steps in prop::collection::vec(step(), 0..60)) {
        let mut server = Server { revision: 1, ..Server::default() };
        let mut index = Index::default();
        for source in sources() {
            index.reset(&source, Vec::new(), Some(1));
        }
        for step in steps {
            match step {
                Step::Put { name, label, own } => server.put(name, label, own),
                Step::Delete { name } => server.delete(name),
                Step::Deliver { source } => server.deliver(source, &mut index),
                _ => {}
            }
        }
        for source in 0..2 {
            let (revision, live) = server.list(source);
            index.reset(&sources()[source], live, Some(revision));
        }
        prop_assert_eq!(shown(&index), server.truth());
    }
}

/// Of a rule that cannot be read nobody knows what it selects; its address is not free for that.
#[test]
fn the_claims_of_rules_that_cannot_be_read_keep_their_addresses() {
    let [rules, addresses] = [ResourceKind::Nirmata, ResourceKind::Address]
        .map(|kind| WatchSource { kind, selector: Selector::All });
    let bound = |name: &str| -> ClaimRef {
        ClaimRef { namespace: Some("payments".into()), name: name.to_owned() }
    };
    let address = |last: u8, name: &str| {
        let value = address([203, 0, 113, last].into(), bound(name));
        let item = Some(DecodedItem::Address(Box::new(value)));
        let id = ObjectId::cluster(ResourceKind::Address, format!("203.0.113.{last}"));
        Decoded { id, item: Ok(ReadItem { item, fault: None }), ..seen("a", 1, 3) }
    };
    let mut index = Index::default();
    let names = ["eip.nirmata-203.0.113.17", "eip.nirmata-1", "eip.nirmata", "ei.nirmata-0"];
    let all = names.iter().zip(17..).map(|(name, last)| address(last, name)).collect();
    index.reset(&addresses, all, Some(5));
    let id = ObjectId {
        kind: ResourceKind::Nirmata,
        namespace: Some("payments".to_owned()),
        name: "eip".to_owned(),
    };
    let broken = Decoded { id, item: Err("spec.rules[1].cidr".to_owned()), ..seen("a", 2, 4) };
    index.reset(&rules, vec![broken], Some(5));
    let unread = index.snapshot(SnapshotScope::Cluster).unreadable_claims;
    assert_eq!(unread, [bound(names[0]), bound(names[1])].into());
}

fn address(address: IpAddr, claim: ClaimRef) -> Stored<EgressAddress> {
    let plan = bare_plan(claim, 1);
    let value = EgressAddress { address, plan, status: Default::default(), deleting: false };
    Stored { version: ResourceVersion("1".to_owned()), value }
}
