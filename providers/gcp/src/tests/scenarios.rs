//! What the contract does not ask, since only Google is like that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use egret_core::model::NodeName;
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{Inventory, Provider, attach_one};
use serde_json::{Value, json};

use super::double::GceDouble;
use crate::Gcp;

async fn attach(provider: &Gcp, address: IpAddr, node: &NodeName) {
    attach_one(provider, address, node).await.unwrap();
}

async fn refused(provider: &Gcp, address: IpAddr, node: &NodeName) -> PortError {
    attach_one(provider, address, node).await.unwrap_err()
}

fn service(double: &GceDouble) -> Value {
    double.state()["backend_services"][0].clone()
}

fn endpoints(service: &Value) -> BTreeSet<String> {
    let all = service["endpoints"].as_array().unwrap().iter();
    all.map(|one| one["instance"].as_str().unwrap().rsplit('/').next().unwrap().to_owned())
        .collect()
}

fn leader(service: &Value) -> &str {
    service["leader"]["instance"].as_str().unwrap().rsplit('/').next().unwrap()
}

#[tokio::test]
async fn gateways_are_endpoints_before_they_lead_and_the_leader_follows() {
    let (double, [address, _]) = (GceDouble::start(), [0, 1]);
    let (provider, address) = (double.provider().await, double.external[address]);
    let [a1, b1] = ["a1", "b1"].map(|name| double.node(name));
    attach(&provider, address, &a1).await;
    provider.prepare(&b1, &[address].into()).await.unwrap().remove(&address).unwrap().unwrap();
    let made = service(&double);
    assert_eq!(made["fast_ip_move"], "GARP_RA");
    assert_eq!((endpoints(&made), leader(&made)), (["a1", "b1"].map(str::to_owned).into(), "a1"));
    let rule = double.state()["forwarding_rules"][0].clone();
    assert_eq!((&rule["protocol"], &rule["all_ports"]), (&json!("L3_DEFAULT"), &json!(true)));
    double.take_calls();
    // The packets have followed its announcement already.
    attach(&provider, address, &b1).await;
    let moved = service(&double);
    assert_eq!((endpoints(&moved), leader(&moved)), (endpoints(&made), "b1"));
    let changes: BTreeMap<String, u64> = double
        .take_calls()
        .into_iter()
        .filter(|(method, _)| !method.ends_with(".get") && !method.contains("list"))
        .collect();
    assert_eq!(changes, [("compute.regionBackendServices.patch".to_owned(), 1)].into());
}

#[tokio::test]
async fn an_internal_address_is_reached_from_every_region_of_its_network() {
    let double = GceDouble::start();
    let provider = double.provider().await;
    attach(&provider, double.internal[0], &double.node("a1")).await;
    let rule = double.state()["forwarding_rules"][0].clone();
    assert_eq!((&rule["scheme"], &rule["global_access"]), (&json!("INTERNAL"), &json!(true)));
}

#[tokio::test]
async fn what_others_made_is_left_alone() {
    let double = GceDouble::start();
    let (provider, a1) = (double.provider().await, double.node("a1"));
    // Another cluster's gateway leads.
    attach(&provider, double.external[0], &a1).await;
    let mut others = Inventory { nodes: double.nodes.clone(), addresses: BTreeMap::new() };
    others.nodes.remove(&a1);
    double.inventory.send_replace(Arc::new(others));
    let error = refused(&provider, double.external[0], &double.node("b1")).await;
    assert_eq!(error.class, ErrorClass::Invalid, "{error}");
    assert!(error.to_string().contains("is no node of this cluster"), "{error}");
    provider.detach(double.external[0], &double.node("b1")).await.unwrap();
    assert_eq!(leader(&service(&double)), "a1");
}

#[tokio::test]
async fn a_gateway_that_is_gone_is_known_by_the_status() {
    let double = GceDouble::start();
    let (provider, address) = (double.provider().await, double.external[0]);
    let [a1, b1] = ["a1", "b1"].map(|name| double.node(name));
    let at = attach_one(&provider, address, &a1).await.unwrap();
    let mut inventory = Inventory { nodes: double.nodes.clone(), addresses: BTreeMap::new() };
    inventory.nodes.remove(&a1);
    inventory.addresses.insert(address, [(a1.clone(), at)].into());
    double.inventory.send_replace(Arc::new(inventory));
    let observed = provider.observe(&[address].into(), &BTreeSet::new()).await.unwrap();
    assert_eq!(observed.attachments[&address].node, a1);
    attach(&provider, address, &b1).await;
    assert_eq!(leader(&service(&double)), "b1");
}

#[tokio::test]
async fn an_address_that_something_else_uses_is_not_taken() {
    let double = GceDouble::start();
    let provider = double.provider().await;
    let unreserved = "203.0.113.250".parse().unwrap();
    let error = refused(&provider, unreserved, &double.node("a1")).await;
    assert_eq!(error.class, ErrorClass::NotFound, "{error}");
    assert!(error.to_string().contains("reserve it in project"), "{error}");
}

#[tokio::test]
async fn the_sixty_fifth_service_of_a_network_and_region_is_refused_with_the_remedy() {
    let double = GceDouble::start();
    let provider = double.provider().await;
    let many: Vec<Value> =
        (0..65).map(|number| json!({"name": format!("many-{number}")})).collect();
    let built = json!({"region": "europe-west3", "external": many, "nodes": [{"name": "more"}]});
    let built = double.control("POST", "/egret/build", &built);
    let addresses: Vec<IpAddr> = built["external"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["address"].as_str().unwrap().parse().unwrap())
        .collect();
    let a1 = double.node("a1");
    double.set("latency", json!({"milliseconds": 1}));
    for address in &addresses[..64] {
        attach(&provider, *address, &a1).await;
    }
    let error = refused(&provider, addresses[64], &a1).await;
    assert_eq!(error.class, ErrorClass::Quota, "{error}");
    assert!(error.to_string().contains("64 backend services with fastIPMove"), "{error}");
    // Those that have a service can go to every gateway still.
    let asked: BTreeSet<IpAddr> = addresses.iter().copied().collect();
    let observed = provider.observe(&asked, &[a1.clone()].into()).await.unwrap();
    assert_eq!(observed.nodes[&a1].can_serve, addresses[..64].iter().copied().collect());
}

#[tokio::test]
async fn addresses_are_found_by_their_labels() {
    let double = GceDouble::start();
    let provider = double.provider().await;
    let labels = |value: &str| [("pool".to_owned(), value.to_owned())].into();
    let found = provider.discover(&labels("shop")).await.unwrap();
    assert_eq!(found, double.external[..2].iter().copied().collect());
    assert!(provider.discover(&labels("none")).await.unwrap().is_empty());
    assert_eq!(provider.discover(&[].into()).await.unwrap_err().class, ErrorClass::Invalid);
    let nothing = provider.nothing_found(&labels("none"));
    assert!(
        nothing.contains("spec.gcp.addressLabels") && nothing.contains("pool=none"),
        "{nothing}"
    );
}

/// What waits for a person says what to do.
#[tokio::test]
async fn a_missing_permission_is_named() {
    let double = GceDouble::start();
    let provider = double.provider().await;
    double.set("policy", json!({"allow": ["compute.instances.get"]}));
    let error = refused(&provider, double.external[0], &double.node("a1")).await;
    assert_eq!(error.class, ErrorClass::Denied, "{error}");
    let text = error.to_string();
    assert!(text.contains("terraform/gcp") && text.contains("Required 'compute."), "{text}");
}
