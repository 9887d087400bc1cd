//! The contract of `ports::Provider`, in good weather and bad.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use egret_ports::contract::patient::Patient;
use egret_ports::contract::provider::{ProviderCase, Room, run};
use egret_ports::provider::Provider;
use serde_json::json;

use super::double::GceDouble;
use crate::alias_range::AliasRanges;
use crate::target_instance::TargetInstances;

fn case<P>(double: &GceDouble, addresses: &[IpAddr], provider: P) -> ProviderCase<P> {
    ProviderCase {
        provider,
        nodes: [double.node("a1"), double.node("b1")],
        addresses: [addresses[0], addresses[1]],
        elsewhere: double.node("abroad"),
        full: None,
        room: Room::Unlimited,
        unknown: "nobody".into(),
        cancel_step: Duration::from_millis(150),
        lagging_reads: 0,
        lag: Duration::ZERO,
    }
}

/// The project at the end: nothing of Egret's is left in it.
async fn nothing_is_left<P: Provider>(double: &GceDouble, case: &ProviderCase<P>) {
    for node in &case.nodes {
        case.provider.prepare(node, &BTreeSet::new()).await.unwrap();
    }
    let state = double.state();
    for kind in ["forwarding_rules", "backend_services"] {
        assert_eq!(state[kind], json!([]), "left: {}", state[kind]);
    }
    for kind in ["networkEndpointGroups", "targetInstances"] {
        assert_eq!(double.count(kind), 0, "{kind} are left");
    }
    for instance in state["instances"].as_array().unwrap() {
        let aliases = instance["interfaces"][0]["aliases"].as_array().unwrap();
        assert!(aliases.iter().all(|alias| alias["range"] == "pods"), "{instance}");
    }
}

/// Answers that are lost, and operations that end badly, after their effect or instead of it.
fn storm(double: &GceDouble) {
    double.set("latency", json!({"milliseconds": 5}));
    for (method, fault) in [
        ("compute.*.insert", json!({"after": true, "cut": true, "every": 5})),
        ("compute.*.patch", json!({"code": 503, "after": true, "every": 5})),
        ("compute.*.delete", json!({"code": 500, "operation": true, "every": 5})),
        ("compute.*.setTarget", json!({"after": true, "cut": true, "every": 4})),
        ("compute.*.updateNetworkInterface", json!({"code": 503, "after": true, "every": 3})),
        ("compute.regionBackendServices.patch", json!({"code": 412, "every": 4})),
        ("compute.instances.updateNetworkInterface", json!({"code": 412, "every": 4})),
        ("*", json!({"code": 429, "every": 200})),
        ("compute.*NetworkEndpoints", json!({"code": 412, "every": 7})),
        ("compute.*.list", json!({"code": 503, "every": 200})),
    ] {
        let mut fault = fault;
        fault["method"] = json!(method);
        double.set("fail", fault);
    }
}

#[tokio::test]
async fn external_addresses() {
    let double = GceDouble::start();
    let case = case(&double, &double.external, double.provider().await);
    run(&case).await;
    nothing_is_left(&double, &case).await;
}

#[tokio::test]
async fn internal_addresses() {
    let double = GceDouble::start();
    let case = case(&double, &double.internal, double.provider().await);
    run(&case).await;
    nothing_is_left(&double, &case).await;
}

#[tokio::test]
async fn target_instances() {
    let double = GceDouble::start();
    let case = case(&double, &double.external, double.mode(&TargetInstances).await);
    run(&case).await;
    nothing_is_left(&double, &case).await;
}

#[tokio::test]
async fn target_instances_in_bad_weather() {
    let double = GceDouble::start();
    let case = case(&double, &double.external, Patient(double.mode(&TargetInstances).await));
    storm(&double);
    run(&case).await;
    double.set("clear", json!({}));
    nothing_is_left(&double, &case).await;
}

fn alias_case<P>(double: &GceDouble, addresses: &[IpAddr], provider: P) -> ProviderCase<P> {
    ProviderCase {
        full: Some(double.node("full")),
        room: Room::OfTheNode,
        ..case(double, addresses, provider)
    }
}

#[tokio::test]
async fn alias_ranges() {
    let mut double = GceDouble::start();
    double.add_full();
    let case = alias_case(&double, &double.internal, double.mode(&AliasRanges).await);
    run(&case).await;
    nothing_is_left(&double, &case).await;
}

/// Of nodes without ranges for pods the last one is taken away, too.
#[tokio::test]
async fn alias_ranges_where_pods_have_none() {
    let mut double = GceDouble::without_pods();
    double.add_full();
    let addresses: [IpAddr; 2] = ["10.0.0.200", "10.0.0.201"].map(|text| text.parse().unwrap());
    let case = alias_case(&double, &addresses, double.mode(&AliasRanges).await);
    run(&case).await;
    nothing_is_left(&double, &case).await;
}

#[tokio::test]
async fn alias_ranges_in_bad_weather() {
    let mut double = GceDouble::start();
    double.add_full();
    let case = alias_case(&double, &double.internal, Patient(double.mode(&AliasRanges).await));
    storm(&double);
    run(&case).await;
    double.set("clear", json!({}));
    nothing_is_left(&double, &case).await;
}

#[tokio::test]
async fn throttled() {
    let double = GceDouble::start();
    let case = case(&double, &double.external, Patient(double.provider().await));
    double.set("latency", json!({"milliseconds": 5}));
    double.set("fail", json!({"code": 429, "every": 150}));
    run(&case).await;
    double.set("clear", json!({}));
    nothing_is_left(&double, &case).await;
}

#[tokio::test]
async fn failing() {
    let double = GceDouble::start();
    let case = case(&double, &double.external, Patient(double.provider().await));
    storm(&double);
    run(&case).await;
    double.set("clear", json!({}));
    nothing_is_left(&double, &case).await;
}
