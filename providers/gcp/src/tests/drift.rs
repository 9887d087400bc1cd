//! What somebody else changes by hand is seen, and put right by the next attachment.

use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_core::model::NodeName;
use egret_ports::provider::{Provider, attach_one};
use serde_json::{Value, json};

use super::double::GceDouble;
use crate::Gcp;
use crate::alias_range::AliasRanges;
use crate::target_instance::TargetInstances;

const PROJECT: &str = "/compute/v1/projects/egret";
const REGION: &str = "/compute/v1/projects/egret/regions/europe-west3";

async fn seen_at(provider: &Gcp, address: IpAddr) -> Option<NodeName> {
    let observed = provider.observe(&[address].into(), &BTreeSet::new()).await.unwrap();
    observed.attachments.get(&address).map(|at| at.node.clone())
}

/// By hand, with the operation's end.
fn by_hand(double: &GceDouble, verb: &str, path: &str, body: &Value) {
    double.control(verb, path, body);
    double.set("finish", json!({}));
}

fn name(double: &GceDouble, kind: &str) -> String {
    double.state()[kind][0]["name"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_leader_that_was_changed_and_a_rule_that_was_deleted() {
    let double = GceDouble::start();
    let (provider, address) = (double.provider().await, double.external[0]);
    let [a1, b1] = ["a1", "b1"].map(|name| double.node(name));
    attach_one(&provider, address, &a1).await.unwrap();
    provider.prepare(&b1, &[address].into()).await.unwrap();
    let path = format!("{REGION}/backendServices/{}", name(&double, "backend_services"));
    let service = double.control("GET", &path, &Value::Null);
    let backends = service["backends"].as_array().unwrap();
    let group =
        backends.iter().map(|it| &it["group"]).find(|it| it.to_string().contains("west3-b"));
    let leader = json!({
        "backendGroup": group.unwrap(),
        "networkEndpoint": {"instance": format!("https://www.googleapis.com{PROJECT}/zones/europe-west3-b/instances/b1")},
    });
    let change = json!({"fingerprint": service["fingerprint"], "haPolicy": {"leader": leader}});
    by_hand(&double, "PATCH", &path, &change);
    assert_eq!(seen_at(&provider, address).await, Some(b1));
    attach_one(&provider, address, &a1).await.unwrap();
    assert_eq!(seen_at(&provider, address).await, Some(a1.clone()));
    let path = format!("{REGION}/forwardingRules/{}", name(&double, "forwarding_rules"));
    by_hand(&double, "DELETE", &path, &json!({}));
    assert_eq!(seen_at(&provider, address).await, None, "Google delivers nowhere");
    attach_one(&provider, address, &a1).await.unwrap();
    assert_eq!(seen_at(&provider, address).await, Some(a1));
}

#[tokio::test]
async fn a_target_that_was_set_to_another() {
    let double = GceDouble::start();
    let (provider, address) = (double.mode(&TargetInstances).await, double.external[0]);
    let [a1, b1] = ["a1", "b1"].map(|name| double.node(name));
    attach_one(&provider, address, &a1).await.unwrap();
    provider.prepare(&b1, &[address].into()).await.unwrap();
    let list = format!("{PROJECT}/zones/europe-west3-b/targetInstances");
    let target = double.control("GET", &list, &Value::Null)["items"][0]["selfLink"].clone();
    let path = format!("{REGION}/forwardingRules/{}", name(&double, "forwarding_rules"));
    by_hand(&double, "POST", &format!("{path}/setTarget"), &json!({"target": target}));
    assert_eq!(seen_at(&provider, address).await, Some(b1));
    attach_one(&provider, address, &a1).await.unwrap();
    assert_eq!(seen_at(&provider, address).await, Some(a1));
}

#[tokio::test]
async fn an_alias_that_was_taken_away() {
    let double = GceDouble::start();
    let (provider, address) = (double.mode(&AliasRanges).await, double.internal[0]);
    let a1 = double.node("a1");
    attach_one(&provider, address, &a1).await.unwrap();
    let path = format!("{PROJECT}/zones/europe-west3-a/instances/a1");
    let nic = double.control("GET", &path, &Value::Null)["networkInterfaces"][0].clone();
    let body =
        json!({"fingerprint": nic["fingerprint"], "aliasIpRanges": [nic["aliasIpRanges"][0]]});
    by_hand(
        &double,
        "PATCH",
        &format!("{path}/updateNetworkInterface?networkInterface=nic0"),
        &body,
    );
    assert_eq!(seen_at(&provider, address).await, None);
    attach_one(&provider, address, &a1).await.unwrap();
    assert_eq!(seen_at(&provider, address).await, Some(a1));
}
