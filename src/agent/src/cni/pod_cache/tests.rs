use std::net::IpAddr;

use egret_core::model::{Timestamp, Uid};

use super::*;

const ME: &str = "director-1";

fn key(name: &str) -> PodKey {
    (NamespaceName::new("payments"), name.to_owned())
}

fn nets(sources: &[&str]) -> BTreeSet<IpNet> {
    sources.iter().map(|text| IpNet::from(text.parse::<IpAddr>().unwrap())).collect()
}

fn added(name: &str, ips: &[&str]) -> PodAdded {
    let ips = ips.iter().map(|text| text.parse().unwrap()).collect();
    PodAdded { namespace: "payments".to_owned(), name: name.to_owned(), uid: String::new(), ips }
}

fn snapshot(pods: &[(&str, &[&str])]) -> Arc<Snapshot> {
    let mut snapshot = Snapshot::default();
    for (name, sources) in pods {
        let pod = Pod {
            namespace: NamespaceName::new("payments"),
            name: (*name).to_owned(),
            labels: BTreeMap::new(),
            node: NodeName::new(ME),
            host_network: false,
            sources: nets(sources),
            uid: Uid::new(*name),
            created: Timestamp(0),
            terminating: false,
        };
        snapshot.pods.insert(key(name), pod);
    }
    Arc::new(snapshot)
}

/// What the CNI says, against what the watch then shows.
struct CacheFixture {
    cache: PodCache,
    now: Instant,
}

impl CacheFixture {
    fn new() -> Self {
        Self { cache: PodCache::default(), now: Instant::now() }
    }

    fn add(&mut self, name: &str, ips: &[&str], watched: &Arc<Snapshot>) {
        self.cache.add(added(name, ips), Some(watched), self.now);
    }

    fn sources(&mut self, watched: &Arc<Snapshot>, name: &str) -> BTreeSet<IpNet> {
        let merged = self.cache.merge(watched, &NodeName::new(ME), self.now);
        merged.pods.get(&key(name)).map(|pod| pod.sources.clone()).unwrap_or_default()
    }
}

#[test]
fn an_address_is_the_pods_until_the_watch_shows_it() {
    let mut fixture = CacheFixture::new();
    let before = snapshot(&[("a", &[])]);
    assert!(fixture.sources(&before, "a").is_empty());
    fixture.add("a", &["10.244.1.5", "fd00::5"], &before);
    assert_eq!(fixture.sources(&before, "a"), nets(&["10.244.1.5", "fd00::5"]));
    let shown = snapshot(&[("a", &["10.244.1.5", "fd00::5"])]);
    assert_eq!(fixture.sources(&shown, "a"), nets(&["10.244.1.5", "fd00::5"]));
    assert!(fixture.cache.entries.is_empty());
    assert!(Arc::ptr_eq(&shown, &fixture.cache.merge(&shown, &NodeName::new(ME), fixture.now)));
}

#[test]
fn what_the_watch_shows_later_counts_even_where_it_differs() {
    let mut fixture = CacheFixture::new();
    fixture.add("a", &["10.244.1.5"], &snapshot(&[("a", &[])]));
    let shown = snapshot(&[("a", &["10.244.1.9"])]);
    assert_eq!(fixture.sources(&shown, "a"), nets(&["10.244.1.9"]));
}

#[test]
fn a_new_sandbox_of_a_known_pod_has_its_new_address_at_once() {
    let mut fixture = CacheFixture::new();
    let old = snapshot(&[("a", &["10.244.1.5"])]);
    fixture.add("a", &["10.244.1.6"], &old);
    assert_eq!(fixture.sources(&old, "a"), nets(&["10.244.1.5", "10.244.1.6"]));
    let shown = snapshot(&[("a", &["10.244.1.6"])]);
    assert_eq!(fixture.sources(&shown, "a"), nets(&["10.244.1.6"]));
    assert!(fixture.cache.entries.is_empty());
}

#[test]
fn a_pod_that_is_not_watched_yet_is_waited_for_but_not_for_ever() {
    let mut fixture = CacheFixture::new();
    let nobody = snapshot(&[]);
    fixture.add("a", &["10.244.1.5"], &nobody);
    assert!(fixture.sources(&nobody, "a").is_empty());
    // With sources of an annotation, and no address yet.
    let known = snapshot(&[("a", &["192.0.2.1"])]);
    assert_eq!(fixture.sources(&known, "a"), nets(&["10.244.1.5", "192.0.2.1"]));
    // Gone again: nothing is kept of it.
    fixture.sources(&nobody, "a");
    assert!(fixture.cache.entries.is_empty());
    fixture.add("a", &["10.244.1.5"], &nobody);
    fixture.now += UNSEEN;
    assert!(fixture.sources(&known, "a").contains(&nets(&["10.244.1.5"]).pop_first().unwrap()));
    fixture.add("b", &["10.244.1.6"], &nobody);
    fixture.now += UNSEEN;
    fixture.sources(&nobody, "b");
    assert!(fixture.cache.entries.is_empty());
}

#[test]
fn the_newer_add_has_the_address() {
    let mut fixture = CacheFixture::new();
    let both = snapshot(&[("a", &[]), ("b", &[])]);
    fixture.add("a", &["10.244.1.5"], &both);
    fixture.add("b", &["10.244.1.5"], &both);
    assert!(fixture.sources(&both, "a").is_empty());
    assert_eq!(fixture.sources(&both, "b"), nets(&["10.244.1.5"]));
}

#[test]
fn an_address_that_the_watch_still_shows_with_another_pod_goes_over() {
    let mut fixture = CacheFixture::new();
    let stale = snapshot(&[("old", &["10.244.1.5", "10.244.1.7"]), ("new", &[])]);
    fixture.add("new", &["10.244.1.5"], &stale);
    assert_eq!(fixture.sources(&stale, "old"), nets(&["10.244.1.7"]));
    assert_eq!(fixture.sources(&stale, "new"), nets(&["10.244.1.5"]));
}

#[test]
fn an_address_that_shows_up_with_another_pod_afterwards_is_that_ones() {
    let mut fixture = CacheFixture::new();
    let before = snapshot(&[("failed", &[]), ("next", &[])]);
    fixture.add("failed", &["10.244.1.5"], &before);
    assert_eq!(fixture.sources(&before, "failed"), nets(&["10.244.1.5"]));
    let after = snapshot(&[("failed", &[]), ("next", &["10.244.1.5"])]);
    assert!(fixture.sources(&after, "failed").is_empty());
    assert_eq!(fixture.sources(&after, "next"), nets(&["10.244.1.5"]));
    assert!(fixture.cache.entries.is_empty());
}

#[test]
fn pods_of_the_hosts_network_get_nothing() {
    let mut fixture = CacheFixture::new();
    let mut watched = Snapshot::clone(&snapshot(&[("a", &[])]));
    for pod in watched.pods.values_mut() {
        pod.host_network = true;
    }
    let watched = Arc::new(watched);
    fixture.add("a", &["10.244.1.5"], &watched);
    assert!(fixture.sources(&watched, "a").is_empty());
    assert!(fixture.cache.entries.is_empty());
}
