//! Objects as other clients than Egret make them.

use std::net::{IpAddr, Ipv4Addr};

use egret_core::model::{
    AddressPlan, BlockGrant, ClaimRef, Cluster, ClusterRanges, EgressNodeSpec, Millis,
    NamespaceName, NodeName, NodeRole, PortRange, ResourceVersion,
};
use egret_ports::cluster_state::Write;
use egret_ports::contract::objects::bare_plan;
use serde_json::{Value, json};

pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 17));

pub fn plan(fence: u64) -> AddressPlan {
    let namespace = Some(NamespaceName::new("payments"));
    AddressPlan {
        owner: Some(NodeName::new("node-1")),
        ..bare_plan(ClaimRef { namespace, name: "bank".to_owned() }, fence)
    }
}

pub fn put_plan(expect: Option<&ResourceVersion>, fence: u64) -> Write {
    Write::AddressPlan { address: ADDRESS, expect: expect.cloned(), plan: plan(fence) }
}

pub fn put_cluster(expect: Option<&ResourceVersion>, t_max: u64) -> Write {
    let cluster = Cluster {
        id: "11111111-2222-3333-4444-555555555555".to_owned(),
        set: None,
        t_max: Millis::from_secs(t_max),
        ranges: ClusterRanges::default(),
        uninstalling: false,
    };
    Write::Cluster { expect: expect.cloned(), cluster }
}

pub fn delete_address(expect: &ResourceVersion) -> Write {
    Write::DeleteAddress { address: ADDRESS, expect: Some(expect.clone()) }
}

pub fn block(epoch: u64) -> BlockGrant {
    BlockGrant {
        address: ADDRESS,
        ports: PortRange::new(1024, 2047).unwrap(),
        epoch,
        ended: None,
        quarantined_since: None,
    }
}

pub fn put_node(
    node: &str,
    expect: Option<&ResourceVersion>,
    roles: &[NodeRole],
    blocks: Vec<BlockGrant>,
) -> Write {
    let roles = roles.iter().copied().collect();
    let spec = EgressNodeSpec { roles, blocks, ..EgressNodeSpec::default() };
    Write::NodeSpec { node: NodeName::new(node), expect: expect.cloned(), spec }
}

pub fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "default", "labels": {"app": "settle"},
            "annotations": {"egret.dev/cidr": "10.9.0.0/16"},
        },
        "spec": {
            "nodeName": node, "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "one", "image": "registry.invalid/one:1"}],
        },
    })
}

/// What a kubelet writes.
pub fn pod_status(phase: &str, address: &str) -> String {
    json!({"status": {"phase": phase, "podIP": address, "podIPs": [{"ip": address}]}}).to_string()
}

/// A CRD that lets everything through, as of a version of Egret that checked less.
pub fn permissive(crd: impl serde::Serialize) -> Value {
    let mut crd = serde_json::to_value(crd).unwrap();
    crd["spec"]["versions"][0]["schema"] = json!({
        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
    });
    crd
}

/// A CRD of another project, as loose.
pub fn foreign_crd(group: &str, version: &str, plural: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Cluster",
            "names": {"plural": plural, "kind": kind},
            "versions": [{
                "name": version, "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                }},
            }],
        },
    })
}
