//! Nodes and addresses of a service project, in the network of a host project.

use std::collections::BTreeSet;

use egret_ports::error::ErrorClass;
use egret_ports::provider::{Provider, attach_one};
use serde_json::{Value, json};

use super::double::{GceDouble, PROJECT};
use super::permissions::needed;
use crate::alias_range::AliasRanges;
use crate::mode::DeliveryMode;
use crate::target_instance::TargetInstances;

const HOST: &str = "host";

/// Those that are needed in the host project, and the others: as `terraform/gcp` splits them between
/// its two roles.
fn permissions(mode: &str) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let of_network = |it: &&str| {
        ["compute.networks.", "compute.subnetworks."].iter().any(|of| it.starts_with(of))
    };
    needed(mode).into_iter().partition(of_network)
}

/// A double where the controller has what the roles give it, but for `missing` in the host project.
fn double(mode: &str, missing: &str) -> GceDouble {
    let double = GceDouble::with_network_of(HOST);
    let (of_network, others) = permissions(mode);
    let of_network: BTreeSet<_> = of_network.into_iter().filter(|it| *it != missing).collect();
    double.set("policy", json!({"allow": []}));
    double.set("policy", json!({"project": PROJECT, "allow": others}));
    double.set("policy", json!({"project": HOST, "allow": of_network}));
    double
}

#[tokio::test]
async fn addresses_move_in_the_hosts_network_with_two_small_roles() {
    let double = double("HAPolicy", "");
    let provider = double.provider().await;
    let nodes = ["a1", "b1"].map(|name| double.node(name));
    let asked: BTreeSet<_> = nodes.iter().cloned().collect();
    for address in [double.external[0], double.internal[0]] {
        for node in &nodes {
            let at = attach_one(&provider, address, node).await.unwrap();
            assert_eq!(at.node, *node);
            let observed = provider.observe(&[address].into(), &asked).await.unwrap();
            assert_eq!(observed.attachments[&address].node, *node);
            assert!(observed.nodes.values().all(|it| it.can_serve.contains(&address)));
        }
        let state = double.state();
        assert_eq!(state["backend_services"][0]["project"], PROJECT);
        assert_eq!(
            state["backend_services"][0]["network"],
            json!("projects/host/global/networks/net")
        );
        provider.detach(address, &nodes[1]).await.unwrap();
    }
    for node in &nodes {
        provider.prepare(node, &BTreeSet::new()).await.unwrap();
    }
    let state = double.state();
    assert_eq!((&state["forwarding_rules"], &state["backend_services"]), (&json!([]), &json!([])));
    assert_eq!(double.count("networkEndpointGroups"), 0);
    let calls = double.control("GET", "/egret/calls", &Value::Null);
    assert!(calls["by_result"].get("forbidden").is_none(), "{}", calls["by_result"]);
}

async fn moves_with_two_small_roles(name: &str, mode: &'static dyn DeliveryMode) {
    let double = double(name, "");
    let provider = double.mode(mode).await;
    let address = match name {
        "AliasRange" => double.internal[0],
        _ => double.external[0],
    };
    let nodes = ["a1", "b1"].map(|name| double.node(name));
    for node in &nodes {
        provider.prepare(node, &[address].into()).await.unwrap();
        assert_eq!(attach_one(&provider, address, node).await.unwrap().node, *node);
    }
    provider.detach(address, &nodes[1]).await.unwrap();
    for node in &nodes {
        provider.prepare(node, &BTreeSet::new()).await.unwrap();
    }
    let calls = double.control("GET", "/egret/calls", &Value::Null);
    assert!(calls["by_result"].get("forbidden").is_none(), "{}", calls["by_result"]);
}

#[tokio::test]
async fn target_instances_need_no_more_than_their_role() {
    moves_with_two_small_roles("TargetInstance", &TargetInstances).await;
}

#[tokio::test]
async fn alias_ranges_need_no_more_than_their_role() {
    moves_with_two_small_roles("AliasRange", &AliasRanges).await;
}

/// The message names the permission, what it is missing on, and where to give it.
#[tokio::test]
async fn a_right_that_is_missing_in_the_host_project_is_named() {
    for (permission, what) in [
        ("compute.networks.use", "projects/host/global/networks/net"),
        ("compute.subnetworks.use", "projects/host/regions/europe-west3/subnetworks/nodes"),
        ("compute.subnetworks.get", "projects/host/regions/europe-west3/subnetworks/nodes"),
    ] {
        let double = double("HAPolicy", permission);
        let provider = double.provider().await;
        let error =
            attach_one(&provider, double.internal[0], &double.node("a1")).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Denied, "{error}");
        let text = error.to_string();
        let said = format!("Required '{permission}' permission for '{what}'");
        assert!(text.contains(&said) && text.contains("in the host project"), "{text}");
    }
}
