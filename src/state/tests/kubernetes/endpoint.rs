//! Where a node's tunnel is to end: what a person annotates, what the controller writes, what the agent reads of it.

use egret_core::model::{EgressNodeSpec, EndpointAnnotation, EndpointChoice, NodeName};
use egret_ports::cluster_state::{ClusterState as _, Write};
use serde_json::json;

use crate::fixture::{Store, until};

#[tokio::test]
async fn where_a_tunnel_is_to_end_comes_through_the_api_server() {
    let store = Store::with_examples();
    let name = NodeName::new("node-1");
    store.apply(&json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": "node-1",
            "annotations": {"egret.dev/tunnel-endpoint": "10.1.0.0/16, 2001:db8::7"},
        },
    }));
    let within = EndpointChoice::Within(vec![
        "10.1.0.0/16".parse().unwrap(),
        "2001:db8::7/128".parse().unwrap(),
    ]);
    let (controller, agent) = (store.controller(), store.agent("node-1"));
    let annotated = async |wanted: EndpointAnnotation| {
        until(&controller, |snapshot| {
            snapshot.nodes.get(&name).is_some_and(|node| node.tunnel_endpoint == wanted)
        })
        .await
    };
    annotated(EndpointAnnotation::Says(within.clone())).await;

    let mut expect = None;
    for (tunnel_endpoint, tunnel_endpoint_default) in [
        (Some(within), Some(EndpointChoice::InternalIP)),
        (Some(EndpointChoice::Uplink), None),
        (None, Some(EndpointChoice::InternalIP)),
        (None, None),
    ] {
        let spec = EgressNodeSpec {
            tunnel_endpoint,
            tunnel_endpoint_default,
            ..EgressNodeSpec::default()
        };
        let write = Write::NodeSpec { node: name.clone(), expect, spec: spec.clone() };
        expect = Some(controller.write(write).await.unwrap());
        for reader in [&agent, &controller] {
            until(reader, |snapshot| {
                snapshot.egress_nodes.get(&name).is_some_and(|stored| stored.value.spec == spec)
            })
            .await;
        }
    }

    let annotate = |what: &str| store.kubectl(&["annotate", "--overwrite", "node", "node-1", what]);
    annotate("egret.dev/tunnel-endpoint=eth1");
    let unread = annotated(EndpointAnnotation::Unread).await;
    let told: Vec<&str> = unread.invalid_objects.iter().map(|its| its.message.as_str()).collect();
    assert!(told.iter().any(|told| told.contains("egret.dev/tunnel-endpoint")), "{told:?}");
    annotate("egret.dev/tunnel-endpoint=InternalIP");
    annotated(EndpointAnnotation::Says(EndpointChoice::InternalIP)).await;
    annotate("egret.dev/tunnel-endpoint-");
    annotated(EndpointAnnotation::Absent).await;
}
