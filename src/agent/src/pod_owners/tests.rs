use std::net::IpAddr;

use egret_core::model::{Timestamp, Uid};

use super::*;

const ADDRESS: &str = "10.244.1.5";

fn net() -> IpNet {
    ADDRESS.parse::<IpAddr>().unwrap().into()
}

fn pod(name: &str, uid: &str, terminating: bool) -> Pod {
    Pod {
        namespace: "shop".into(),
        name: name.into(),
        labels: BTreeMap::new(),
        node: "me".into(),
        host_network: false,
        sources: [net()].into(),
        uid: Uid::new(uid),
        created: Timestamp(0),
        terminating,
    }
}

fn snapshot(pods: &[Pod]) -> Arc<Snapshot> {
    let key = |pod: &Pod| (pod.namespace.clone(), pod.name.clone());
    let pods = pods.iter().map(|pod| (key(pod), pod.clone())).collect();
    Arc::new(Snapshot { pods, ..Snapshot::default() })
}

/// Owners, whether their process has just begun, and what a snapshot changes for the address:
/// ended, passed on.
#[derive(Default)]
struct Fixture(PodOwners, bool);

impl Fixture {
    fn see(&mut self, pods: &[Pod]) -> (bool, bool) {
        let changes = self.settle(pods, &[]).1;
        (changes.ended.contains(&net()), changes.passed_on.contains(&net()))
    }

    fn settle(&mut self, pods: &[Pod], awaited: &[IpNet]) -> (Arc<Snapshot>, OwnerChanges) {
        let awaited = awaited.iter().copied().collect();
        self.0.settle(snapshot(pods), &"me".into(), &awaited, self.1)
    }

    fn add(&mut self, pod: &Pod) {
        self.0.add(&PodIdentity::of(pod), &[net()].into());
    }

    /// What the next process of the agent knows.
    fn restart(self) -> Self {
        let kept = serde_json::to_string(&self.0).unwrap();
        Self(serde_json::from_str(&kept).unwrap(), true)
    }
}

#[test]
fn a_pod_ends_once_and_a_relabelled_one_does_not() {
    let mut fixture = Fixture::default();
    assert_eq!(fixture.see(&[pod("a", "1", false)]), (false, false));
    let relabelled = Pod { labels: [("x".into(), "y".into())].into(), ..pod("a", "1", true) };
    assert_eq!(fixture.see(&[relabelled]), (false, false));
    assert_eq!(fixture.see(&[]), (true, false));
    assert_eq!(fixture.see(&[]), (false, false));
}

/// The old pod's object goes when the new one has run for a while.
#[test]
fn the_end_of_a_pod_is_no_matter_of_who_has_its_address_by_word_of_the_cni() {
    let (old, new) = (pod("a", "1", true), pod("b", "2", false));
    let mut fixture = Fixture::default();
    fixture.see(std::slice::from_ref(&old));
    fixture.add(&new);
    let (_, changes) = fixture.settle(&[], &[net()]);
    assert_eq!(changes, OwnerChanges::default(), "it is not shown yet");
    assert_eq!(fixture.see(&[old, new.clone()]), (false, false));
    assert_eq!(fixture.see(&[new]), (false, false));
    assert_eq!(fixture.see(&[]), (true, false));
}

#[test]
fn another_pod_of_which_the_cni_has_not_told_is_noticed_also_over_a_restart() {
    let mut fixture = Fixture::default();
    fixture.see(&[pod("a", "1", false)]);
    let mut fixture = fixture.restart();
    let former = fixture.0.clone();
    assert_eq!(fixture.0.unchanged_since(&former), [net()].into());
    // A StatefulSet's next pod has the name of the last.
    assert_eq!(fixture.see(&[pod("a", "2", false)]), (false, true));
    assert_eq!(fixture.0.unchanged_since(&former), BTreeSet::new());
    assert_eq!(fixture.see(&[pod("a", "2", false)]), (false, false));
    let mut fixture = fixture.restart();
    assert_eq!(fixture.see(&[]), (true, false));
}

#[test]
fn a_shared_address_is_with_its_owner_alone() {
    let (old, new) = (pod("a", "1", true), pod("b", "2", false));
    let mut fixture = Fixture::default();
    let both = [old.clone(), new.clone()];
    let (settled, changes) = fixture.settle(&both, &[]);
    let has = |settled: &Snapshot, name: &str| {
        !settled.pods[&("shop".into(), name.into())].sources.is_empty()
    };
    assert!(has(&settled, "b") && !has(&settled, "a"));
    let shared = &changes.shared[&net()];
    assert_eq!((&shared.winner.name, shared.losers.len()), (&"b".to_owned(), 1));
    // Whatever the API says of their age: also after a restart.
    fixture.add(&old);
    let mut fixture = fixture.restart();
    let (settled, changes) = fixture.settle(&both, &[]);
    assert!(has(&settled, "a") && !has(&settled, "b"));
    assert_eq!(changes.shared[&net()].winner.name, "a");
    assert_eq!(fixture.see(&[new]), (false, true), "the last that the CNI told of is gone");
}

/// The CNI has given the address, the agent begins anew, and the API shows it last.
#[test]
fn a_pod_that_an_earlier_process_has_heard_of_goes_on_until_it_is_gone() {
    let unshown = || Pod { sources: BTreeSet::new(), ..pod("a", "1", false) };
    let heard = || {
        let mut fixture = Fixture::default();
        fixture.add(&pod("a", "1", false));
        fixture.restart()
    };
    let mut fixture = heard();
    assert_eq!(fixture.see(&[unshown()]), (false, false));
    fixture.1 = false;
    assert_eq!(fixture.see(&[unshown()]), (false, false), "however long it takes");
    assert_eq!(fixture.see(&[pod("a", "1", false)]), (false, false));
    assert_eq!(fixture.see(&[]), (true, false));
    let mut fixture = heard();
    fixture.see(&[unshown()]);
    assert_eq!(fixture.see(&[]), (true, false), "it was shown, and is gone");
    let mut fixture = heard();
    assert_eq!(fixture.see(&[]), (false, false), "the watch may be behind");
    fixture.1 = false;
    assert_eq!(fixture.see(&[]), (true, false), "not for ever");
    let mut fixture = heard();
    let elsewhere = Pod { sources: ["10.244.1.6/32".parse().unwrap()].into(), ..unshown() };
    assert_eq!(fixture.see(&[elsewhere]), (true, false), "it has another one");
}

#[test]
fn what_ends_of_a_range_is_what_no_other_pod_has() {
    let range = |name: &str, net: &str| Pod {
        sources: [net.parse().unwrap()].into(),
        ..pod(name, name, false)
    };
    let ended = |before: &[Pod], after: &[Pod]| {
        let mut fixture = Fixture::default();
        fixture.see(before);
        let ended = fixture.settle(after, &[]).1.ended;
        ended.iter().map(IpNet::to_string).collect::<Vec<_>>()
    };
    let neighbour = range("b", "10.9.0.1/32");
    let both = [range("a", "10.9.0.0/30"), neighbour.clone()];
    assert_eq!(ended(&both, &[neighbour]), ["10.9.0.0/32", "10.9.0.2/31"]);
    // Its annotation has changed.
    assert!(ended(&[range("a", "10.9.0.0/24")], &[range("a", "10.9.0.0/23")]).is_empty());
    let less = ended(&[range("a", "10.9.0.0/23")], &[range("a", "10.9.0.0/24")]);
    assert_eq!(less, ["10.9.1.0/24"]);
    let hosts = [range("a", "10.9.0.2/32"), range("b", "10.9.0.3/32")];
    assert_eq!(ended(&hosts, &[]), ["10.9.0.2/32", "10.9.0.3/32"], "each by its address");
}

/// In one snapshot a range is nobody's any more, and another pod has an address of it.
#[test]
fn what_a_new_pod_has_of_an_ended_range_is_passed_on() {
    let range = |name: &str, net: &str| Pod {
        sources: [net.parse().unwrap()].into(),
        ..pod(name, name, false)
    };
    let changed = |before: &[Pod], after: &[Pod]| {
        let mut fixture = Fixture::default();
        fixture.see(before);
        let changes = fixture.settle(after, &[]).1;
        let text = |nets: BTreeSet<IpNet>| nets.iter().map(IpNet::to_string).collect::<Vec<_>>();
        (text(changes.passed_on), text(changes.ended))
    };
    let said = |passed_on: &[&str], ended: &[&str]| {
        let own = |all: &[&str]| all.iter().map(|net| (*net).to_owned()).collect::<Vec<_>>();
        (own(passed_on), own(ended))
    };
    let (whole, part) = (range("a", "10.9.0.0/31"), range("b", "10.9.0.1/32"));
    let taken = changed(std::slice::from_ref(&whole), std::slice::from_ref(&part));
    assert_eq!(taken, said(&["10.9.0.1/32"], &["10.9.0.0/32"]));
    let covered = changed(std::slice::from_ref(&part), std::slice::from_ref(&whole));
    assert_eq!(covered, said(&["10.9.0.1/32"], &[]));
    // Its own annotation has changed, or it had its address before the range ended.
    assert_eq!(
        changed(&[range("a", "10.9.0.0/30")], std::slice::from_ref(&whole)),
        said(&[], &["10.9.0.2/31"])
    );
    let both = changed(&[whole, part.clone()], &[part]);
    assert_eq!(both, said(&[], &["10.9.0.0/32"]));
}

#[test]
fn pods_on_the_nodes_network_own_nothing() {
    let mut fixture = Fixture::default();
    let host = Pod { host_network: true, ..pod("a", "1", false) };
    assert_eq!(fixture.see(&[host]), (false, false));
    assert_eq!(fixture.see(&[]), (false, false));
}
