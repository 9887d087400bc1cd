//! Changes are seen, however they are made.

use std::io::Write as _;

use egret_core::model::{NamespaceName, NodeName};
use egret_ports::cluster_state::ClusterState;

use super::fixture::{Fixture, POOL, pod, read, until};

#[tokio::test]
async fn files_below_new_folders_are_seen() {
    let store = Fixture::new();
    let state = store.open();
    until(&state, "a first snapshot", |_| true).await;
    std::fs::create_dir_all(store.file("a/b/c")).unwrap();
    store.put("a/b/c/pod.yml", &pod("settle-1", "10.244.1.7"));
    until(&state, "the pod", |snapshot| snapshot.pods.len() == 1).await;
    store.put("a/b/c/more.yml", &pod("settle-2", "10.244.1.8"));
    until(&state, "the second pod", |snapshot| snapshot.pods.len() == 2).await;
    std::fs::rename(store.file("a/b"), store.file("a/.b")).unwrap();
    until(&state, "hidden folders are not read", |snapshot| snapshot.pods.is_empty()).await;
}

#[tokio::test]
async fn a_file_is_read_when_its_writer_has_closed_it() {
    let store = Fixture::new();
    store.put("pods.yaml", &format!("{}---\n{}", pod("one", "10.0.0.1"), pod("two", "10.0.0.2")));
    let state = store.open();
    until(&state, "two pods", |snapshot| snapshot.pods.len() == 2).await;
    let mut seen = state.watch();
    seen.mark_unchanged();
    let mut file = std::fs::File::create(store.file("pods.yaml")).unwrap();
    file.write_all(pod("one", "10.0.0.1").as_bytes()).unwrap();
    // Another file changes while this one is half written: the store is read.
    store.put("other.yaml", &pod("three", "10.0.0.3"));
    let during = until(&state, "the third", |snapshot| snapshot.pods.len() >= 3).await;
    assert_eq!(during.pods.len(), 3, "the second is not deleted by half a file");
    file.write_all(format!("---\n{}", pod("four", "10.0.0.4")).as_bytes()).unwrap();
    drop(file);
    let after = until(&state, "the fourth", |snapshot| {
        snapshot.pods.contains_key(&(NamespaceName::new("payments"), "four".to_owned()))
    });
    assert_eq!(after.await.pods.len(), 3);
}

#[tokio::test]
async fn two_changes_in_one_tick_of_the_clock_are_both_seen() {
    let store = Fixture::new();
    let state = store.open();
    // So that there is a value before, whenever the reader comes.
    std::fs::write(store.file("pod.yaml"), pod("settle-1", "10.244.1.99")).unwrap();
    until(&state, "the pod", |snapshot| !snapshot.pods.is_empty()).await;
    for round in 0..50_u8 {
        let address = format!("10.244.1.{}", 100 + round);
        std::fs::write(store.file("pod.yaml"), pod("settle-1", &address)).unwrap();
        let snapshot = read(&state).await;
        let pod = snapshot.pods.values().next().expect("the pod");
        let source = format!("{address}/32").parse().unwrap();
        if !pod.sources.contains(&source) {
            // The reader came between the writer's opening and closing as the watcher saw it.
            until(&state, "the change", |snapshot| {
                snapshot.pods.values().any(|pod| pod.sources.contains(&source))
            })
            .await;
        }
    }
}

const WORLD: &str = "apiVersion: v1
kind: Node
metadata: {name: node-1, labels: {topology.kubernetes.io/zone: b, x: y}}
spec: {unschedulable: true, podCIDRs: [10.244.1.0/24, 'fd00:1::/64']}
status:
  addresses:
  - {type: InternalIP, address: 192.0.2.1}
  - {type: Hostname, address: node-1}
  nodeInfo: {kernelVersion: 6.1.0}
---
apiVersion: v1
kind: Pod
metadata:
  name: range
  annotations: {egret.dev/cidr: '10.250.0.0/16, fd00:2::/64'}
spec: {nodeName: node-1, hostNetwork: false, containers: [{name: a, image: b}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ended, namespace: payments}
spec: {nodeName: node-1}
status: {phase: Succeeded, podIP: 10.244.1.9, podIPs: [{ip: 10.244.1.9}]}
---
apiVersion: v1
kind: Pod
metadata: {name: pending, namespace: payments}
spec: {containers: []}
---
apiVersion: v1
kind: Service
metadata: {name: settle, namespace: payments}
spec: {selector: {app: settle}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: payments}
spec: {clusterIP: None}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: not-ours}
";

#[tokio::test]
async fn workloads_are_read_as_an_api_server_shows_them() {
    let store = Fixture::new();
    store.put("world.yaml", WORLD);
    let snapshot = read(&store.open()).await;
    assert!(snapshot.invalid_objects.is_empty(), "{:?}", snapshot.invalid_objects);
    let node = &snapshot.nodes[&NodeName::new("node-1")];
    assert!(node.cordoned && node.zone == "b" && node.pod_cidrs.len() == 2);
    assert_eq!(node.addresses, ["192.0.2.1".parse().unwrap()].into());
    assert_eq!(snapshot.pods.len(), 1, "ended and pending pods have no addresses of their own");
    let pod = snapshot.pods.values().next().unwrap();
    let ranges = ["10.250.0.0/16", "fd00:2::/64"].map(|range| range.parse().unwrap());
    assert_eq!(pod.sources, ranges.into());
    let payments = NamespaceName::new("payments");
    assert!(snapshot.services[&(payments.clone(), "settle".to_owned())].selector.is_some());
    assert!(snapshot.services[&(payments.clone(), "headless".to_owned())].selector.is_none());
    assert_eq!(
        snapshot.namespaces[&payments].labels["kubernetes.io/metadata.name"], "payments",
        "a namespace that objects are in exists"
    );
}

#[tokio::test]
async fn nothing_is_published_where_nothing_changed() {
    let store = Fixture::new();
    store.put("pool.yaml", POOL);
    let state = store.open();
    until(&state, "the pool", |snapshot| !snapshot.pools.is_empty()).await;
    let mut seen = state.watch();
    seen.mark_unchanged();
    store.put("pool.yaml", POOL);
    read(&state).await;
    assert!(!seen.has_changed().unwrap(), "the same text is no change");
}

/// It sends to its end, also after a claim was applied that selects it.
#[tokio::test]
async fn a_pod_that_is_being_deleted_is_there_until_it_is_gone() {
    let store = Fixture::new();
    let deleting = pod("settle-1", "10.244.1.7").replace(
        "metadata: {",
        "metadata: {deletionTimestamp: '2026-05-04T12:00:00Z', deletionGracePeriodSeconds: 30, ",
    );
    store.put("pod.yaml", &deleting);
    let state = store.open();
    let snapshot = read(&state).await;
    assert_eq!((snapshot.pods.len(), snapshot.invalid_objects.len()), (1, 0));
    store.put("pod.yaml", &deleting.replace("status: {", "status: {phase: Succeeded, "));
    assert!(read(&state).await.pods.is_empty(), "it has ended");
}
