use std::time::{Duration, Instant};

use egret_core::model::{NodeName, Timestamp};
use egret_ports::cluster_state::{ClusterState as _, Event};
use egret_ports::error::ErrorClass;
use egret_state::KubernetesState;

use crate::fixture::{PATIENCE, Store, until};
use crate::objects::{ADDRESS, block, put_node, put_plan};

async fn reachable(state: &KubernetesState, wanted: bool) {
    let mut watched = state.reachable();
    let seen = tokio::time::timeout(PATIENCE, watched.wait_for(|now| *now == wanted)).await;
    seen.unwrap_or_else(|_| panic!("reachable never became {wanted}")).unwrap();
}

#[tokio::test]
async fn an_outage_deletes_nothing_and_ends_by_itself() {
    let mut store = Store::with_examples();
    let (state, agent) = (store.controller(), store.agent("node-1"));
    let first = state.write(put_plan(None, 1)).await.unwrap();
    for watcher in [&state, &agent] {
        until(watcher, |snapshot| snapshot.addresses.contains_key(&ADDRESS)).await;
    }
    let before = agent.watch().borrow().clone();
    store.server.stop();
    for watcher in [&state, &agent] {
        reachable(watcher, false).await;
    }
    let error = state.write(put_plan(Some(&first), 2)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert_eq!(state.read_consistent().await.unwrap_err().class, ErrorClass::Transient);
    assert_eq!(*agent.watch().borrow(), before, "nothing counts as deleted");
    // Who starts now has no snapshot, and gets one when there is one.
    let late = store.agent("node-2");
    reachable(&late, false).await;
    assert!(late.watch().borrow().is_none());
    store.server.resume().unwrap();
    for watcher in [&state, &agent, &late] {
        reachable(watcher, true).await;
        until(watcher, |snapshot| snapshot.addresses.contains_key(&ADDRESS)).await;
    }
    let second = state.write(put_plan(Some(&first), 2)).await.unwrap();
    for watcher in [&state, &agent, &late] {
        until(watcher, |snapshot| snapshot.addresses[&ADDRESS].version == second).await;
    }
}

#[tokio::test]
async fn watches_go_on_after_a_restart_and_where_the_history_is_gone() {
    let mut store = Store::with_examples();
    let (state, agent) = (store.controller(), store.agent("node-1"));
    let mut version = state.write(put_plan(None, 1)).await.unwrap();
    for round in 2..5 {
        // What other kinds do takes versions, so that those of quiet kinds grow old.
        for epoch in 0..20 {
            let name = format!("node-{round}-{epoch}");
            state.write(put_node(&name, None, &[], vec![block(epoch)])).await.unwrap();
        }
        store.server.compact().unwrap();
        store.server.restart().unwrap();
        reachable(&state, true).await;
        version = state.write(put_plan(Some(&version), round)).await.unwrap();
        for watcher in [&state, &agent] {
            until(watcher, |snapshot| snapshot.addresses[&ADDRESS].version == version).await;
        }
        let wanted = 20 * (usize::try_from(round).unwrap() - 1);
        until(&state, |snapshot| snapshot.egress_nodes.len() == wanted).await;
    }
    store.kubectl(&["delete", "egresspool", "partners"]);
    for watcher in [&state, &agent] {
        until(watcher, |snapshot| snapshot.pools.is_empty()).await;
    }
}

#[tokio::test]
async fn a_frozen_api_server_is_noticed_at_rest() {
    let store = Store::with_examples();
    let agent = store.agent("node-1");
    until(&agent, |_| true).await;
    store.server.freeze().unwrap();
    reachable(&agent, false).await;
    store.server.thaw().unwrap();
    reachable(&agent, true).await;
    store.kubectl(&["delete", "egresspool", "partners"]);
    until(&agent, |snapshot| snapshot.pools.is_empty()).await;
}

#[tokio::test]
async fn etcd_away_is_an_outage() {
    use nix::sys::signal::Signal;
    let store = Store::with_examples();
    let state = store.controller();
    until(&state, |_| true).await;
    store.server.etcd().signal(Signal::SIGSTOP).unwrap();
    // The signal takes effect when one of its threads is scheduled.
    let stat = format!("/proc/{}/stat", store.server.etcd().pid());
    while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let error = state.write(put_plan(None, 1)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    reachable(&state, false).await;
    assert!(state.watch().borrow().is_some());
    store.server.etcd().signal(Signal::SIGCONT).unwrap();
    reachable(&state, true).await;
    // The write that was not answered may have been done.
    let snapshot = state.read_consistent().await.unwrap();
    let version = snapshot.addresses.get(&ADDRESS).map(|stored| stored.version.clone());
    state.write(put_plan(version.as_ref(), 2)).await.unwrap();
}

#[tokio::test]
async fn another_leads_in_under_five_seconds() {
    let store = Store::start();
    let (one, other) = (store.controller(), store.controller());
    assert!(one.lead("one", 3).await.unwrap());
    assert!(!other.lead("other", 3).await.unwrap());
    assert!(one.lead("one", 3).await.unwrap(), "a renewal");
    // Its time counts from when the other has seen the renewal.
    assert!(!other.lead("other", 3).await.unwrap());
    let renewed = Instant::now();
    let version = lease(&store);
    for _ in 0..3 {
        assert!(!other.lead("other", 3).await.unwrap());
    }
    assert_eq!(lease(&store), version, "who stands by only reads");
    drop(one);
    while !other.lead("other", 3).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let after = renewed.elapsed();
    assert!(after < Duration::from_secs(5), "taken over after {after:?}");
    let spec = store.server.kubectl().get(&["lease", "egret-controller", "-n", "egret-system"]);
    assert_eq!(spec.unwrap()["spec"]["leaseTransitions"], 1);
}

fn lease(store: &Store) -> String {
    let path = "jsonpath={.metadata.resourceVersion}";
    store.kubectl(&["get", "lease", "egret-controller", "-n", "egret-system", "-o", path])
}

#[tokio::test]
async fn a_lost_fence_counter_begins_past_everything_in_use() {
    let store = Store::with_examples();
    let state = store.controller();
    assert_eq!(state.draw_fences(10).await.unwrap(), 1, "a new cluster");
    assert_eq!(state.draw_fences(1).await.unwrap(), 11);
    state.write(put_plan(None, 11)).await.unwrap();
    state.write(put_node("node-1", None, &[], vec![block(5000)])).await.unwrap();
    until(&state, |snapshot| !snapshot.egress_nodes.is_empty()).await;
    let first = state.draw_fences(2).await.unwrap();
    assert_eq!(first, 5001, "a counter that was put back repeats nothing in use");
    store.kubectl(&["delete", "configmap", "egret-fences", "-n", "egret-system"]);
    let first = state.draw_fences(2).await.unwrap();
    assert_eq!(first, 1_005_000);
    assert_eq!(state.draw_fences(1).await.unwrap(), first + 2);
    let broken = r#"{"data":{"next":"many"}}"#;
    let arguments = ["patch", "configmap", "egret-fences", "-n", "egret-system", "-p", broken];
    store.kubectl(&arguments);
    let error = state.draw_fences(1).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Invalid, "{error}");
}

#[tokio::test]
async fn events_are_about_their_object_and_counted() {
    let store = Store::with_examples();
    let state = store.agent("node-1");
    let pool = until(&state, |_| true).await;
    let uid = pool.claims.values().next().unwrap().value.0.uid.clone();
    let event = |about: &str, at: i64| Event {
        about: about.into(),
        warning: true,
        reason: "HolderLost".to_owned(),
        message: format!("node-1 has been silent{}", "…".repeat(600)),
        source: NodeName::new("node-1").to_string(),
        at: Timestamp(1_800_000_000_000 + at),
    };
    for at in 0..3 {
        state.event(event("StaticEgressIP payments/bank", at)).await.unwrap();
    }
    state.event(event("EgressAddress 2001:db8:5::11", 7)).await.unwrap();
    let read = state.events().await.unwrap();
    let found: Vec<(String, u32)> =
        read.iter().map(|recorded| (recorded.event.about.to_string(), recorded.count)).collect();
    let address = "EgressAddress 2001-0db8-0005-0000-0000-0000-0000-0011";
    assert_eq!(found, [("StaticEgressIP payments/bank".to_owned(), 3), (address.to_owned(), 1)]);
    assert_eq!(read[0].first, Timestamp(1_800_000_000_000));
    assert_eq!(read[0].event.at, Timestamp(1_800_000_000_002));
    let events = store.server.kubectl().get(&["events.events.k8s.io", "-n", "payments"]).unwrap();
    let event = &events["items"][0];
    assert_eq!(event["regarding"]["uid"].as_str(), Some(uid.as_str()));
    assert_eq!(event["reportingController"], "egret.dev/agent");
    assert_eq!(egret_state::kubernetes::events(&store.connection()).unwrap(), read);
}
