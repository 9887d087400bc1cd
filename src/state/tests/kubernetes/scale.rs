//! A thousand nodes: what a quorum read costs, and what a change costs those who watch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use egret_core::model::{
    BlockGrant, Condition, EgressNodeStatus, NodeName, PortRange, PublicKey, Timestamp, Uplink,
};
use egret_ports::cluster_state::{ClusterState as _, Write};
use egret_state::KubernetesState;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::fixture::{Store, until};
use crate::objects::{ADDRESS, put_node, put_plan};

const NODES: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_nodes_are_read_in_a_second() {
    let store = Store::with_examples();
    let controller = Arc::new(store.controller());
    let agent = store.agent("node-7");
    until(&agent, |_| true).await;
    let list = json!({
        "apiVersion": "v1", "kind": "List", "items": (0..NODES).map(node).collect::<Vec<_>>(),
    });
    let file = store.server.dir().join("nodes.json");
    std::fs::write(&file, list.to_string()).unwrap();
    let nodes = async {
        let path = file.to_str().unwrap();
        store.kubectl(&["create", "-f", path, "-o", "name"]);
    };
    let began = Instant::now();
    tokio::join!(nodes, egress_nodes(&controller));
    println!("{NODES} nodes were made in {:.1} s", began.elapsed().as_secs_f64());
    until(&controller, |snapshot| {
        snapshot.nodes.len() == NODES
            && snapshot.egress_nodes.len() == NODES
            && snapshot.egress_nodes.values().all(|node| node.value.status.peer_port != 0)
    })
    .await;
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..10 {
        let began = Instant::now();
        let snapshot = controller.read_consistent().await.unwrap();
        times.push(began.elapsed());
        assert_eq!((snapshot.egress_nodes.len(), snapshot.nodes.len()), (NODES, NODES));
    }
    times.sort();
    println!("a quorum read of {NODES} nodes: p50 {:?}, slowest {:?}", times[5], times[9]);
    assert!(times[5] < Duration::from_secs(5), "a quorum read takes {:?}", times[5]);
    let mut seen = Vec::new();
    let mut version = None;
    for fence in 0..20 {
        let began = Instant::now();
        let written = controller.write(put_plan(version.as_ref(), fence)).await.unwrap();
        until(&agent, |snapshot| {
            snapshot.addresses.get(&ADDRESS).is_some_and(|stored| stored.version == written)
        })
        .await;
        seen.push(began.elapsed());
        version = Some(written);
    }
    seen.sort();
    println!(
        "from a plan's write to an agent's snapshot: p50 {:?}, slowest {:?}",
        seen[10], seen[19]
    );
    let snapshot = agent.watch().borrow().clone().unwrap();
    assert_eq!(snapshot.egress_nodes.len(), 1, "an agent knows itself and those with roles");
}

/// A Node of the size that kubelets make of it, most of it images.
fn node(index: usize) -> Value {
    let image = |image: usize| {
        json!({
            "names": [format!("registry.example.com/team-{image}/service@sha256:{:064x}", image)],
            "sizeBytes": 123_456_789,
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": format!("node-{index}"), "labels": {
            "kubernetes.io/hostname": format!("node-{index}"), "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": format!("zone-{}", index % 3),
        }},
        "spec": {"podCIDRs": [format!("10.{}.{}.0/24", 100 + index / 256, index % 256)]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": format!("192.0.{}.{}", index / 250, index % 250)}],
            "images": (0..50).map(image).collect::<Vec<_>>(),
        },
    })
}

async fn egress_nodes(controller: &Arc<KubernetesState>) {
    let mut writers = JoinSet::new();
    for part in 0..20 {
        let controller = Arc::clone(controller);
        writers.spawn(async move {
            for index in (0..NODES).filter(|index| index % 20 == part) {
                let name = format!("node-{index}");
                let blocks = (0..8).map(|block| grant(index, block)).collect();
                controller.write(put_node(&name, None, &[], blocks)).await.unwrap();
                let write = Write::NodeStatus { node: NodeName::new(name), status: status() };
                controller.write(write).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
}

fn grant(node: usize, block: usize) -> BlockGrant {
    let first = u16::try_from(1024 * (1 + block)).unwrap();
    BlockGrant {
        address: ADDRESS,
        ports: PortRange::new(first, first + 1023).unwrap(),
        epoch: u64::try_from(8 * node + block).unwrap(),
        ended: None,
        quarantined_since: None,
    }
}

fn status() -> EgressNodeStatus {
    let condition = |kind: &str| Condition {
        kind: kind.into(),
        status: true,
        reason: "Programmed".to_owned(),
        message: "the kernel holds what the store asks for".to_owned(),
        observed_generation: 0,
        last_transition: Timestamp(1_800_000_000_000),
    };
    EgressNodeStatus {
        endpoints: vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
        peer_port: 5481,
        public_key: Some(PublicKey([7; 32])),
        uplinks: vec![Uplink {
            name: "eth0".to_owned(),
            subnets: vec!["192.0.2.0/24".parse().unwrap()],
            mac: Some("02:00:5e:10:00:07".to_owned()),
            next_hops: ["192.0.2.1".parse().unwrap()].into(),
        }],
        conditions: ["Ready", "DatapathBypassed"].map(condition).into(),
        ..EgressNodeStatus::default()
    }
}
