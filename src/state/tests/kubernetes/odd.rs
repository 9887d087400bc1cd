//! One odd part of an object costs only that part.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_core::model::{
    ClaimRef, NamespaceName, NodeName, PodRangeSource, RangeReading, Snapshot,
};
use kube::CustomResourceExt as _;
use serde_json::json;

use crate::fixture::{PATIENCE, Store, until};
use crate::objects::{foreign_crd, permissive};

#[tokio::test]
async fn odd_addresses_of_a_node_are_passed_over_and_named() {
    let store = Store::start();
    store.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}));
    let entry = |text: &str| json!({"type": "ExternalIP", "address": text});
    let odd = ["", "node-1.example", "fe80::1%eth0", "10.0.0.011"].map(entry);
    let status = json!({"status": {"addresses": odd}}).to_string();
    let patch = ["--subresource=status", "--type=merge", "-p", &status];
    store.kubectl(&[&["patch", "node", "node-1"], &patch[..]].concat());
    let state = store.controller();
    let snapshot = until(&state, |snapshot| !snapshot.invalid_objects.is_empty()).await;
    let node = &snapshot.nodes[&NodeName::new("node-1")];
    assert_eq!(node.addresses, ["10.0.0.11".parse::<IpAddr>().unwrap()].into());
    let [told] = &snapshot.invalid_objects[..] else { panic!("{:?}", snapshot.invalid_objects) };
    assert_eq!(told.place, "Node node-1");
    for index in 0..3 {
        assert!(told.message.contains(&format!("status.addresses[{index}].address: ")), "{told:?}");
    }
}

#[tokio::test]
async fn ranges_that_cannot_be_read_are_named_until_they_can() {
    let store = Store::start();
    store.apply(&foreign_crd("cilium.io", "v2", "ciliumnodes", "CiliumNode"));
    store.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]);
    let with = |range: &str| {
        json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": {"name": "node-1"},
            "spec": {"ipam": {"podCIDRs": ["10.1.0.0/24", range]}},
        })
    };
    let reading = |snapshot: &Snapshot| {
        let all = snapshot.discovered.unreadable.iter();
        all.map(|one| (one.object.clone(), one.reading)).collect::<Vec<_>>()
    };
    let object = || "CiliumNode.cilium.io node-1".to_owned();
    store.apply(&with("10.2.0.0/240"));
    let state = store.controller();
    let never = until(&state, |snapshot| !snapshot.discovered.unreadable.is_empty()).await;
    assert_eq!(reading(&never), [(object(), RangeReading::Unread)]);
    store.apply(&with("10.2.0.0/24"));
    let good = until(&state, |snapshot| snapshot.discovered.unreadable.is_empty()).await;
    store.apply(&with("x"));
    let kept = until(&state, |snapshot| !snapshot.invalid_objects.is_empty()).await;
    assert_eq!(reading(&kept), [(object(), RangeReading::Kept)]);
    let ranges = &kept.discovered.pods[&PodRangeSource::CiliumNodes];
    assert_eq!(ranges, &good.discovered.pods[&PodRangeSource::CiliumNodes]);
}

/// What an API server has taken under an older definition stays in force, and is reported.
#[tokio::test]
async fn what_an_older_definition_took_is_read() {
    let store = Store::with_examples();
    let mut older = permissive(egret_api::StaticEgressIP::crd());
    older["spec"]["versions"][0].as_object_mut().unwrap().remove("selectableFields");
    store.apply(&older);
    let older = json!({
        "apiVersion": "egret.dev/v1alpha1", "kind": "StaticEgressIP",
        "metadata": {"name": "older", "namespace": "payments"},
        "spec": {
            "poolRef": {"name": "partners"},
            "podSelector": {"matchLabels": {"app": "a b"}},
            "destinations": [{"cidr": "198.051.100.000/24"}],
        },
    });
    // A definition is in force a moment after it is applied.
    let begun = Instant::now();
    while store.server.kubectl().apply(&older.to_string()).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the claim is not taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let state = store.controller();
    let snapshot = until(&state, |snapshot| !snapshot.invalid_objects.is_empty()).await;
    let namespace = Some(NamespaceName::new("payments"));
    let older = ClaimRef { namespace, name: "older".to_owned() };
    let claim = &snapshot.claims[&older].value.0;
    let destinations = claim.destinations.as_ref().unwrap();
    assert_eq!(destinations[0].cidr.to_string(), "198.51.100.0/24");
    assert_eq!(snapshot.invalid_objects[0].place, "StaticEgressIP payments/older");
}
