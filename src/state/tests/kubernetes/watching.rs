use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use egret_core::model::{
    AddressPlan, AddressRange, AddressStatus, Attachment, NamespaceName, NodeName, NodeRole,
    PodRangeSource, PoolName, PoolStatus, ProviderKind, Snapshot, SnapshotScope,
};
use egret_ports::cluster_state::{ClusterState as _, Write};
use egret_ports::error::ErrorClass;
use egret_state::kubernetes::WatchScope;
use kube::CustomResourceExt as _;
use serde_json::json;

use crate::fixture::{Store, until, within};
use crate::objects::{self, ADDRESS, block, foreign_crd, permissive, put_node, put_plan};

#[tokio::test]
async fn what_cannot_be_understood_is_reported_and_keeps_its_last_good_value() {
    let store = Store::with_examples();
    store.apply(&permissive(egret_api::EgressPool::crd()));
    let state = store.controller();
    until(&state, |snapshot| snapshot.pools.len() == 1).await;
    let patch = |addresses: &str| format!(r#"{{"spec":{{"addresses":{addresses}}}}}"#);
    let edit = |text: &str| {
        store.kubectl(&["patch", "egresspool", "partners", "--type=merge", "-p", text]);
    };
    edit(&patch(r#"["203.0.113.300"]"#));
    let broken = until(&state, |snapshot| !snapshot.invalid_objects.is_empty()).await;
    assert_eq!(broken.invalid_objects[0].place, "EgressPool partners");
    assert!(
        broken.invalid_objects[0].message.starts_with("spec.addresses[0]: "),
        "{:?}",
        broken.invalid_objects
    );
    assert_eq!(broken.pools.len(), 1, "the last good value stays");
    assert!(!broken.pools[&PoolName::new("partners")].value.0.ranges.is_empty());
    // One that was never good is no pool, and stops nobody's watch.
    store.apply(&json!({
        "apiVersion": "egret.dev/v1alpha1", "kind": "EgressPool",
        "metadata": {"name": "worse"}, "spec": {"provider": 7},
    }));
    let two = until(&state, |snapshot| snapshot.invalid_objects.len() == 2).await;
    assert_eq!(two.pools.len(), 1);
    assert_eq!(store.controller().read_consistent().await.unwrap().invalid_objects.len(), 2);
    edit(&patch(r#"["203.0.113.16/30"]"#));
    store.kubectl(&["delete", "egresspool", "worse"]);
    until(&state, |snapshot| snapshot.invalid_objects.is_empty()).await;
}

/// A pool of provider AWS, what the API server makes of its objects, and how they come back.
#[tokio::test]
async fn clouds() {
    let store = Store::with_examples();
    let name = PoolName::new("public");
    store.apply(&json!({
        "apiVersion": "egret.dev/v1alpha1", "kind": "EgressPool",
        "metadata": {"name": "public"},
        "spec": {"provider": "AWS", "aws": {"elasticIPTags": {"egret.dev/pool": "public"}},
            "addresses": ["10.0.0.64/27"], "gateways": {"nodeSelector": {}}},
    }));
    store.apply(&json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"},
        "spec": {"providerID": "aws:///eu-central-1a/i-0a1b2c3d"},
    }));
    let state = store.controller();
    let ranges = |snapshot: &Snapshot| -> Vec<IpAddr> {
        snapshot.pools[&name].value.0.ranges.iter().map(AddressRange::first).collect()
    };
    let first = state.read_consistent().await.unwrap();
    let (listed, pool) = (ranges(&first), &first.pools[&name].value.0);
    assert_eq!((listed.len(), pool.provider), (1, ProviderKind::Aws));
    assert_eq!(pool.discovery_tags, [("egret.dev/pool".into(), "public".into())].into());
    let node = &first.nodes[&NodeName::new("node-1")];
    assert_eq!(node.provider_id, "aws:///eu-central-1a/i-0a1b2c3d");

    let found: Vec<IpAddr> = ["10.0.0.70", "198.51.100.7"].map(|text| text.parse().unwrap()).into();
    let addresses = found.iter().copied().collect();
    let status = PoolStatus { addresses, ..PoolStatus::default() };
    let write = Write::PoolStatus { pool: name.clone(), status: status.clone() };
    state.write(write).await.unwrap();
    let wanted = [&listed[..], &found[1..]].concat();
    until(&state, |snapshot| ranges(snapshot) == wanted).await;
    let other = store.controller().read_consistent().await.unwrap();
    assert_eq!((ranges(&other), &other.pools[&name].value.1), (wanted, &status));

    let plan = AddressPlan { provider: ProviderKind::Aws, ..objects::plan(3) };
    let write = Write::AddressPlan { address: ADDRESS, plan: plan.clone(), expect: None };
    let expect = Some(state.write(write).await.unwrap());
    let at = |node: &str, subnet: u8| Attachment {
        node: NodeName::new(node),
        wire: Some(Ipv4Addr::new(10, 0, subnet, 9).into()),
        interface: Some(format!("eni-{subnet}")),
        mac: Some(format!("02:00:5e:10:00:0{subnet}")),
        allocation: Some("eipalloc-1".to_owned()),
        next_hop: Some(Ipv4Addr::new(10, 0, subnet, 1).into()),
        primary_address: Some(format!("10.0.{subnet}.20/24").parse().unwrap()),
    };
    let status = AddressStatus {
        attachment: Some(at("node-1", 0)),
        prepared: vec![at("node-1", 0), at("node-2", 1), Attachment::at(NodeName::new("node-3"))],
        ..AddressStatus::default()
    };
    let write = Write::AddressStatus { address: ADDRESS, status: status.clone(), expect };
    state.write(write).await.unwrap();
    let stored = state.read_consistent().await.unwrap().addresses[&ADDRESS].value.clone();
    assert_eq!((stored.plan, stored.status), (plan, status));
}

#[tokio::test]
async fn an_agent_sees_its_own_part_and_nothing_else() {
    let store = Store::with_examples();
    let controller = store.controller();
    let first = controller.write(put_node("node-1", None, &[], Vec::new())).await.unwrap();
    for (node, roles) in [("node-2", &[NodeRole::Gateway][..]), ("node-3", &[])] {
        controller.write(put_node(node, None, roles, Vec::new())).await.unwrap();
    }
    for (name, node) in [("mine", "node-1"), ("other", "node-2")] {
        store.apply(&objects::pod(name, node));
        patch_status(&store, name, "Running", "10.1.0.7");
    }
    let view =
        WatchScope::Pod { namespace: NamespaceName::new("default"), name: "other".to_owned() };
    let snapshot = store.open(view).read_consistent().await.unwrap();
    let pods: Vec<&str> = snapshot.pods.values().map(|pod| pod.name.as_str()).collect();
    assert_eq!((pods, snapshot.egress_nodes.len()), (vec!["other"], 3));
    let agent = store.agent("node-1");
    let snapshot = until(&agent, |snapshot| !snapshot.pods.is_empty()).await;
    assert_eq!(snapshot.scope, SnapshotScope::Node);
    assert_eq!((snapshot.nodes.len(), snapshot.namespaces.len()), (0, 0));
    assert_eq!(snapshot.pools.len() + snapshot.claims.len(), 2);
    assert_eq!(nodes(&snapshot), ["node-1", "node-2"], "its own and the gateway's");
    let pod = &snapshot.pods[&(NamespaceName::new("default"), "mine".to_owned())];
    let sources: Vec<String> = pod.sources.iter().map(ToString::to_string).collect();
    assert_eq!(sources, ["10.1.0.7/32"], "nobody takes ranges by an annotation");
    assert_eq!(snapshot.pods.len(), 1);

    // Other nodes' pods and plain nodes cause no snapshot here.
    let mut changes = agent.watch();
    changes.mark_unchanged();
    patch_status(&store, "other", "Failed", "10.1.0.8");
    let status = egret_core::model::EgressNodeStatus { peer_port: 5481, ..Default::default() };
    let write = Write::NodeStatus { node: NodeName::new("node-3"), status };
    controller.write(write).await.unwrap();
    let fence = controller.write(put_plan(None, 1)).await.unwrap();
    // The plan was written last, so that it is seen last.
    until(&agent, |snapshot| snapshot.addresses.contains_key(&ADDRESS)).await;
    let seen = changes.borrow_and_update().clone().unwrap();
    assert_eq!(seen.addresses[&ADDRESS].version, fence);
    assert_eq!((seen.pods.len(), nodes(&seen).len()), (1, 2));

    // An ended pod's address may be another's already.
    patch_status(&store, "mine", "Succeeded", "10.1.0.7");
    until(&agent, |snapshot| snapshot.pods.is_empty()).await;

    // A gateway needs every node's blocks, at once with its role.
    let gateway = put_node("node-1", Some(&first), &[NodeRole::Gateway], Vec::new());
    let second = controller.write(gateway).await.unwrap();
    let snapshot = until(&agent, |snapshot| roles(snapshot, "node-1") == 1).await;
    assert_eq!(nodes(&snapshot), ["node-1", "node-2", "node-3"]);
    let fresh = store.agent("node-1");
    let snapshot = until(&fresh, |_| true).await;
    assert_eq!(nodes(&snapshot).len(), 3, "never a gateway with some of the nodes");
    assert_eq!(nodes(&store.agent("node-1").read_consistent().await.unwrap()).len(), 3);
    controller.write(put_node("node-1", Some(&second), &[], Vec::new())).await.unwrap();
    until(&agent, |snapshot| nodes(snapshot) == ["node-1", "node-2"]).await;
}

fn nodes(snapshot: &egret_core::model::Snapshot) -> Vec<&str> {
    snapshot.egress_nodes.keys().map(NodeName::as_str).collect()
}

fn roles(snapshot: &egret_core::model::Snapshot, node: &str) -> usize {
    let stored = snapshot.egress_nodes.get(&NodeName::new(node));
    stored.map_or(0, |stored| stored.value.spec.roles.len())
}

fn patch_status(store: &Store, pod: &str, phase: &str, address: &str) {
    let status = objects::pod_status(phase, address);
    store.kubectl(&["patch", "pod", pod, "--subresource=status", "--type=merge", "-p", &status]);
}

#[tokio::test]
async fn ranges_are_found_in_objects_of_others() {
    let store = Store::with_examples();
    let state = store.controller();
    let snapshot = until(&state, |snapshot| !snapshot.discovered.services.is_empty()).await;
    let services: Vec<String> =
        snapshot.discovered.services.iter().map(ToString::to_string).collect();
    assert_eq!(services, ["10.96.0.0/16", "fd00:10:96::/112"], "the default ServiceCIDR");
    assert!(snapshot.discovered.pods.is_empty());
    store.apply(&foreign_crd("crd.projectcalico.org", "v1", "ippools", "IPPool"));
    store.apply(&foreign_crd("cilium.io", "v2", "ciliumnodes", "CiliumNode"));
    store.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]);
    for (name, cidr, disabled) in [("one", "10.244.0.0/16", false), ("off", "10.0.0.0/8", true)] {
        store.apply(&json!({
            "apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool",
            "metadata": {"name": name}, "spec": {"cidr": cidr, "disabled": disabled},
        }));
    }
    store.apply(&json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": {"name": "node-1"},
        "spec": {"ipam": {"podCIDRs": ["10.1.1.0/24"]}},
    }));
    store.apply(&json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": {"name": "node-2"},
        "spec": {"ipam": {"pools": {"allocated": [{"pool": "a", "cidrs": ["10.1.2.0/27"]}]}}},
    }));
    // Who starts now finds them at once; who runs finds them within a minute and a half.
    for state in [store.controller(), state] {
        let wanted = [
            (PodRangeSource::CalicoIPPools, vec!["10.244.0.0/16"]),
            (PodRangeSource::CiliumNodes, vec!["10.1.1.0/24", "10.1.2.0/27"]),
        ];
        let all = |texts: Vec<&str>| texts.iter().map(|text| text.parse().unwrap()).collect();
        let wanted = wanted.map(|(from, ranges)| (from, all(ranges)));
        let found = within(Duration::from_secs(150), &state, |snapshot| {
            snapshot.discovered.pods.len() == wanted.len() && snapshot.discovered.by_node.len() == 2
        });
        let found = found.await.discovered.clone();
        assert_eq!(found.pods, wanted.into());
        let by_node = [("node-1", "10.1.1.0/24"), ("node-2", "10.1.2.0/27")];
        assert_eq!(found.by_node, by_node.map(|(node, own)| (node.into(), all(vec![own]))).into());
    }
}

#[tokio::test]
async fn what_is_deleted_stays_until_it_is_released() {
    let store = Store::with_examples();
    let state = store.controller();
    state.write(put_plan(None, 1)).await.unwrap();
    let spec = put_node("node-1", None, &[], vec![block(2)]);
    let version = state.write(spec).await.unwrap();
    store.kubectl(&["delete", "egressaddress/203.0.113.17", "egressnode/node-1", "--wait=false"]);
    let snapshot = until(&state, |snapshot| {
        let address = snapshot.addresses.get(&ADDRESS).is_some_and(|stored| stored.value.deleting);
        let node = snapshot.egress_nodes.values().any(|stored| stored.value.deleting);
        address && node
    })
    .await;
    // Plans go on while it ends.
    let version_now = snapshot.addresses[&ADDRESS].version.clone();
    let next = state.write(put_plan(Some(&version_now), 3)).await.unwrap();
    state.write(objects::delete_address(&next)).await.unwrap();
    let node = NodeName::new("node-1");
    let stored = &snapshot.egress_nodes[&node].version;
    assert_ne!(*stored, version, "a deletion is a new version");
    // The last block goes, and with it the object.
    state.write(put_node("node-1", Some(stored), &[], Vec::new())).await.unwrap();
    until(&state, |snapshot| snapshot.addresses.is_empty() && snapshot.egress_nodes.is_empty())
        .await;
    state.write(put_plan(None, 4)).await.expect("the address can be made anew");
}

#[tokio::test]
async fn a_write_leaves_alone_what_is_not_egrets() {
    let store = Store::with_examples();
    let state = store.controller();
    let first = state.write(put_plan(None, 1)).await.unwrap();
    let both = [NodeRole::Gateway, NodeRole::Voter];
    let node = state.write(put_node("node-1", None, &both, Vec::new())).await.unwrap();
    let get = |what: &str| store.server.kubectl().get(&[what]).unwrap()["metadata"].clone();
    assert_eq!(get("egressaddress/203.0.113.17")["finalizers"], json!(["egret.dev/release"]));
    let metadata = get("egressnode/node-1");
    assert_eq!(metadata["labels"]["egret.dev/role"], "gateway.voter");
    assert!(metadata["finalizers"].is_null());
    store.kubectl(&["label", "egressaddress/203.0.113.17", "egressnode/node-1", "team=net"]);
    store.kubectl(&["annotate", "egressaddress/203.0.113.17", "note=keep"]);
    let patch = r#"{"metadata":{"finalizers":["egret.dev/release","example.com/watch"]}}"#;
    let foreign = ["patch", "egressaddress/203.0.113.17", "--type=merge", "-p", patch];
    store.kubectl(&foreign);
    let conflict = state.write(put_plan(Some(&first), 2)).await.unwrap_err();
    assert_eq!(conflict.class, ErrorClass::Conflict, "{conflict}");
    let snapshot = state.read_consistent().await.unwrap();
    let now = &snapshot.addresses[&ADDRESS].version;
    let now = state.write(put_plan(Some(now), 2)).await.unwrap();
    let stored = &snapshot.egress_nodes[&NodeName::new("node-1")].version;
    assert_ne!(*stored, node);
    state.write(put_node("node-1", Some(stored), &[], vec![block(1)])).await.unwrap();
    let metadata = get("egressaddress/203.0.113.17");
    assert_eq!(metadata["labels"]["team"], "net");
    assert_eq!(metadata["annotations"]["note"], "keep");
    assert_eq!(metadata["finalizers"].as_array().unwrap().len(), 2);
    let metadata = get("egressnode/node-1");
    assert_eq!(metadata["labels"], json!({"team": "net"}), "no role, no label");
    assert_eq!(metadata["finalizers"], json!(["egret.dev/blocks"]));
    // Another's finalizer keeps the object, ours is gone, and asking again is no error.
    state.write(objects::delete_address(&now)).await.unwrap();
    let metadata = get("egressaddress/203.0.113.17");
    assert_eq!(metadata["finalizers"], json!(["example.com/watch"]));
    let left = state.read_consistent().await.unwrap().addresses[&ADDRESS].clone();
    assert!(left.value.deleting);
    state.write(objects::delete_address(&left.version)).await.unwrap();
}

#[tokio::test]
async fn a_pool_is_paused_and_goes_on() {
    let store = Store::with_examples();
    let state = store.controller();
    for paused in [true, false] {
        let write = || Write::PoolPaused { pool: PoolName::new("partners"), paused };
        let version = state.write(write()).await.unwrap();
        assert_eq!(state.write(write()).await.unwrap(), version, "writing what is there");
        until(&state, |snapshot| snapshot.pools.values().all(|pool| pool.value.0.paused == paused))
            .await;
    }
    for (name, class) in
        [("nobody", ErrorClass::NotFound), ("partners/status", ErrorClass::Invalid)]
    {
        let write = Write::PoolPaused { pool: PoolName::new(name), paused: true };
        let error = state.write(write).await.unwrap_err();
        assert_eq!(error.class, class, "{error}");
    }
}

/// Of a node without an agent the controller reads the pods, and of no other.
#[tokio::test]
async fn the_pods_of_a_node_without_an_agent_are_read_until_it_has_one() {
    let store = Store::with_examples();
    let pod = |node: &str, name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "payments"},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "c"}]},
        })
    };
    store.apply_text("{apiVersion: v1, kind: Namespace, metadata: {name: payments}}");
    for node in ["node-1", "node-2"] {
        store.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}));
        store.apply(&pod(node, &format!("on-{node}")));
    }
    let state = store.controller();
    let status = || egret_core::model::EgressNodeStatus::default();
    let join = |node: &str| Write::NodeStatus { node: NodeName::new(node), status: status() };
    state.write(join("node-2")).await.unwrap();
    let names = |snapshot: &Snapshot| -> Vec<String> {
        snapshot.pods.keys().map(|(_, name)| name.clone()).collect()
    };
    until(&state, |snapshot| names(snapshot) == ["on-node-1"]).await;
    // What is planned from shows them too.
    assert_eq!(names(&state.read_consistent().await.unwrap()), ["on-node-1"]);
    state.write(join("node-1")).await.unwrap();
    until(&state, |snapshot| names(snapshot).is_empty()).await;
    let condition = egret_core::model::Condition::new(
        egret_core::model::ConditionType::AgentAbsent,
        true,
        "AgentNotHeard",
        "",
        egret_core::model::Timestamp(1_700_000_000_000),
    );
    let node = NodeName::new("node-2");
    let absent = |condition| Write::AgentAbsent { node: node.clone(), condition };
    state.write(absent(Some(condition))).await.unwrap();
    until(&state, |snapshot| names(snapshot) == ["on-node-2"]).await;
    state.write(absent(None)).await.unwrap();
    until(&state, |snapshot| names(snapshot).is_empty()).await;
}
