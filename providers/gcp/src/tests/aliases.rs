//! Alias ranges of gateways that many addresses come to at once.

use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_ports::error::ErrorClass;
use egret_ports::provider::{Provider, attach_one};
use futures_util::future::join_all;
use serde_json::Value;

use super::double::GceDouble;
use crate::alias_range::AliasRanges;

const UPDATE: &str = "compute.instances.updateNetworkInterface";

fn addresses() -> Vec<IpAddr> {
    (100..120).map(|last| IpAddr::from([10, 0, 0, last])).collect()
}

/// Of a node, in Google's order.
fn aliases(double: &GceDouble, node: &str) -> Vec<String> {
    let state = double.state();
    let instances = state["instances"].as_array().unwrap();
    let instance = instances.iter().find(|it| it["name"] == node).unwrap();
    let aliases = instance["interfaces"][0]["aliases"].as_array().unwrap();
    aliases.iter().map(|alias| alias["cidr"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn addresses_that_move_together_need_few_calls() {
    let double = GceDouble::start();
    let provider = double.mode(&AliasRanges).await;
    let pods = aliases(&double, "a1");
    for (node, from) in [("a1", "b1"), ("b1", "a1")] {
        double.take_calls();
        let node = double.node(node);
        let addresses = addresses();
        let attached = join_all(addresses.iter().map(|it| attach_one(&provider, *it, &node)));
        for result in attached.await {
            assert_eq!(result.unwrap().node, node);
        }
        let calls = double.take_calls();
        assert!(calls[UPDATE] <= 8, "20 addresses: {calls:?}");
        let reads = calls["compute.addresses.list"];
        assert!(reads <= 30, "every task reads for itself: {calls:?}");
        let there = aliases(&double, &node.to_string()).len();
        assert_eq!((there, aliases(&double, from).len()), (21, 1));
    }
    let detached = addresses();
    let b1 = double.node("b1");
    join_all(detached.iter().map(|address| provider.detach(*address, &b1))).await;
    assert_eq!(aliases(&double, "a1"), pods, "the range of the pods is as it was");
    assert_eq!(aliases(&double, "b1").len(), 1);
}

/// A stranger's machine has one of them: only Google knows.
#[tokio::test]
async fn one_that_is_in_use_keeps_no_other_from_its_gateway() {
    let double = GceDouble::start();
    let provider = double.mode(&AliasRanges).await;
    let stranger = serde_json::json!({"region": "europe-west3", "nodes": [
        {"name": "stranger", "zone": "europe-west3-a", "ip": "10.0.0.105"},
    ]});
    let built: Value = double.control("POST", "/egret/build", &stranger);
    assert_eq!(built["nodes"][0]["ip"], "10.0.0.105");
    let (a1, addresses) = (double.node("a1"), addresses());
    let attached = join_all(addresses.iter().map(|it| attach_one(&provider, *it, &a1))).await;
    let refused: Vec<_> = attached.iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0].class, ErrorClass::Invalid, "{}", refused[0]);
    assert!(refused[0].to_string().contains("10.0.0.105"), "{}", refused[0]);
    let observed = provider.observe(&addresses.iter().copied().collect(), &BTreeSet::new()).await;
    assert_eq!(observed.unwrap().attachments.len(), 19);
}
