use std::net::IpAddr;

use super::*;

const ME: &str = "director-1";

fn key(name: &str) -> PodKey {
    (NamespaceName::new("payments"), name.to_owned())
}

fn nets(sources: &[&str]) -> BTreeSet<IpNet> {
    sources.iter().map(|text| IpNet::from(text.parse::<IpAddr>().unwrap())).collect()
}

fn added(name: &str, ips: &[&str]) -> Added {
    let ips = ips.iter().map(|text| text.parse().unwrap()).collect();
    Added { namespace: "payments".to_owned(), name: name.to_owned(), uid: String::new(), ips }
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
        };
        snapshot.pods.insert(key(name), pod);
    }
    Arc::new(snapshot)
}

/// What the CNI says, against what the watch then shows.
struct Told {
    early: Early,
    now: Instant,
}

impl Told {
    fn nothing() -> Self {
        Self { early: Early::default(), now: Instant::now() }
    }

    fn add(&mut self, name: &str, ips: &[&str], watched: &Arc<Snapshot>) {
        self.early.add(added(name, ips), Some(watched), self.now);
    }

    fn sources(&mut self, watched: &Arc<Snapshot>, name: &str) -> BTreeSet<IpNet> {
        let merged = self.early.merge(watched, &NodeName::new(ME), self.now);
        merged.pods.get(&key(name)).map(|pod| pod.sources.clone()).unwrap_or_default()
    }
}

#[test]
fn an_address_is_the_pods_until_the_watch_shows_it() {
    let mut told = Told::nothing();
    let before = snapshot(&[("a", &[])]);
    assert!(told.sources(&before, "a").is_empty());
    told.add("a", &["10.244.1.5", "fd00::5"], &before);
    assert_eq!(told.sources(&before, "a"), nets(&["10.244.1.5", "fd00::5"]));
    let shown = snapshot(&[("a", &["10.244.1.5", "fd00::5"])]);
    assert_eq!(told.sources(&shown, "a"), nets(&["10.244.1.5", "fd00::5"]));
    assert!(told.early.entries.is_empty());
    assert!(Arc::ptr_eq(&shown, &told.early.merge(&shown, &NodeName::new(ME), told.now)));
}

#[test]
fn what_the_watch_shows_later_counts_even_where_it_differs() {
    let mut told = Told::nothing();
    told.add("a", &["10.244.1.5"], &snapshot(&[("a", &[])]));
    let shown = snapshot(&[("a", &["10.244.1.9"])]);
    assert_eq!(told.sources(&shown, "a"), nets(&["10.244.1.9"]));
}

#[test]
fn a_new_sandbox_of_a_known_pod_has_its_new_address_at_once() {
    let mut told = Told::nothing();
    let old = snapshot(&[("a", &["10.244.1.5"])]);
    told.add("a", &["10.244.1.6"], &old);
    assert_eq!(told.sources(&old, "a"), nets(&["10.244.1.5", "10.244.1.6"]));
    let shown = snapshot(&[("a", &["10.244.1.6"])]);
    assert_eq!(told.sources(&shown, "a"), nets(&["10.244.1.6"]));
    assert!(told.early.entries.is_empty());
}

#[test]
fn a_pod_that_is_not_watched_yet_is_waited_for_but_not_for_ever() {
    let mut told = Told::nothing();
    let nobody = snapshot(&[]);
    told.add("a", &["10.244.1.5"], &nobody);
    assert!(told.sources(&nobody, "a").is_empty());
    // With sources of an annotation, and no address yet.
    let known = snapshot(&[("a", &["192.0.2.1"])]);
    assert_eq!(told.sources(&known, "a"), nets(&["10.244.1.5", "192.0.2.1"]));
    // Gone again: nothing is kept of it.
    told.sources(&nobody, "a");
    assert!(told.early.entries.is_empty());
    told.add("a", &["10.244.1.5"], &nobody);
    told.now += UNSEEN;
    assert!(told.sources(&known, "a").contains(&nets(&["10.244.1.5"]).pop_first().unwrap()));
    told.add("b", &["10.244.1.6"], &nobody);
    told.now += UNSEEN;
    told.sources(&nobody, "b");
    assert!(told.early.entries.is_empty());
}

#[test]
fn the_newer_add_has_the_address() {
    let mut told = Told::nothing();
    let both = snapshot(&[("a", &[]), ("b", &[])]);
    told.add("a", &["10.244.1.5"], &both);
    told.add("b", &["10.244.1.5"], &both);
    assert!(told.sources(&both, "a").is_empty());
    assert_eq!(told.sources(&both, "b"), nets(&["10.244.1.5"]));
}

#[test]
fn an_address_that_the_watch_still_shows_with_another_pod_goes_over() {
    let mut told = Told::nothing();
    let stale = snapshot(&[("old", &["10.244.1.5", "10.244.1.7"]), ("new", &[])]);
    told.add("new", &["10.244.1.5"], &stale);
    assert_eq!(told.sources(&stale, "old"), nets(&["10.244.1.7"]));
    assert_eq!(told.sources(&stale, "new"), nets(&["10.244.1.5"]));
}

#[test]
fn an_address_that_shows_up_with_another_pod_afterwards_is_that_ones() {
    let mut told = Told::nothing();
    let before = snapshot(&[("failed", &[]), ("next", &[])]);
    told.add("failed", &["10.244.1.5"], &before);
    assert_eq!(told.sources(&before, "failed"), nets(&["10.244.1.5"]));
    let after = snapshot(&[("failed", &[]), ("next", &["10.244.1.5"])]);
    assert!(told.sources(&after, "failed").is_empty());
    assert_eq!(told.sources(&after, "next"), nets(&["10.244.1.5"]));
    assert!(told.early.entries.is_empty());
}

#[test]
fn pods_of_the_hosts_network_get_nothing() {
    let mut told = Told::nothing();
    let mut watched = Snapshot::clone(&snapshot(&[("a", &[])]));
    for pod in watched.pods.values_mut() {
        pod.host_network = true;
    }
    let watched = Arc::new(watched);
    told.add("a", &["10.244.1.5"], &watched);
    assert!(told.sources(&watched, "a").is_empty());
    assert!(told.early.entries.is_empty());
}
