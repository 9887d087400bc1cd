//! Objects of the original project, with its own example.

use egret_core::model::{
    AddressPlan, ClaimRef, ClaimStatus, EgressNodeStatus, NamespaceName, NodeName, PodSelection,
    PoolName,
};
use egret_ports::cluster_state::{ClusterState as _, Write};

use crate::fixture::{Store, until};

const FIRST: &str = "203.0.113.18";
const SECOND: &str = "192.0.2.200";
const OBJECT: &str = r#"
apiVersion: "staticegressips.nirmata.io/v1alpha1"
kind: StaticEgressIP
metadata: {name: eip, namespace: payments}
spec:
  rules:
  - {service-name: frontend, egressip: 203.0.113.18, cidr: 192.0.2.0/24}
  - {service-name: backend, egressip: 192.0.2.200, cidr: 0.0.0.0/0}
"#;

fn claim(address: &str) -> ClaimRef {
    ClaimRef {
        namespace: Some(NamespaceName::new("payments")),
        name: format!("eip.nirmata-{address}"),
    }
}

#[tokio::test]
async fn rules_are_served_as_claims_and_the_object_says_the_gateway() {
    let store = Store::with_examples();
    store.apply(&serde_json::to_value(egret_api::nirmata_crd()).unwrap());
    store.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]);
    store.apply_text(OBJECT);
    let (state, agent) = (store.controller(), store.agent("node-1"));
    let snapshot = until(&state, |snapshot| snapshot.claims.contains_key(&claim(FIRST))).await;
    let served = &snapshot.claims[&claim(FIRST)].value.0;
    assert_eq!(served.pool, PoolName::new("partners"), "the pool whose ranges hold the address");
    assert_eq!(served.pods, PodSelection::Service("frontend".to_owned()));
    assert_eq!(served.addresses, ["203.0.113.18".parse::<std::net::IpAddr>().unwrap()]);
    assert!(!snapshot.claims.contains_key(&claim(SECOND)), "its address is in no pool");
    let broken = &snapshot.invalid_objects[0];
    assert_eq!(broken.place, "StaticEgressIP.staticegressips.nirmata.io payments/eip");
    assert!(broken.message.contains("spec.rules: egressip 192.0.2.200"), "{broken:?}");

    let endpoints = vec!["192.0.2.7".parse().unwrap()];
    let node = EgressNodeStatus { endpoints, ..EgressNodeStatus::default() };
    let write = Write::NodeStatus { node: NodeName::new("node-1"), status: node };
    state.write(write).await.unwrap();
    let status = ClaimStatus {
        observed_generation: 1,
        gateways: vec![NodeName::new("node-1")],
        ..ClaimStatus::default()
    };
    let write = || Write::ClaimStatus { claim: claim(FIRST), status: status.clone() };
    let version = state.write(write()).await.unwrap();
    assert_eq!(state.write(write()).await.unwrap(), version, "writing what is there");
    for watcher in [&state, &agent] {
        until(watcher, |snapshot| snapshot.claims[&claim(FIRST)].value.1 == status).await;
    }
    let object = "staticegressips.staticegressips.nirmata.io/eip";
    let object = store.server.kubectl().get(&[object, "-n", "payments"]).unwrap();
    assert_eq!(object["status"]["gateway-node"], "node-1");
    assert_eq!(object["status"]["gateway-ip"], "192.0.2.7");
    // A pool takes the other address in, and its claim with it.
    let patch = r#"{"spec":{"addresses":["203.0.113.16/29","192.0.2.200"]}}"#;
    store.kubectl(&["patch", "egresspool", "partners", "--type=merge", "-p", patch]);
    until(&state, |snapshot| snapshot.invalid_objects.is_empty()).await;
    assert_eq!(state.read_consistent().await.unwrap().claims.len(), 3);
    // The first rule goes, and with it what the object says of its claim.
    let rule = r#"{"service-name":"backend","egressip":"192.0.2.200","cidr":"0.0.0.0/0"}"#;
    let patch = format!(r#"{{"spec":{{"rules":[{rule}]}}}}"#);
    let name = "staticegressips.staticegressips.nirmata.io/eip";
    store.kubectl(&["patch", name, "-n", "payments", "--type=merge", "-p", &patch]);
    until(&state, |snapshot| !snapshot.claims.contains_key(&claim(FIRST))).await;
    state.write(Write::ClaimStatus { claim: claim(SECOND), status }).await.unwrap();
    let object = store.server.kubectl().get(&[name, "-n", "payments"]).unwrap();
    let claims = object["status"]["claims"].as_object().unwrap();
    assert_eq!(claims.keys().collect::<Vec<_>>(), [&claim(SECOND).name]);
}

/// What the version before bound to the place of a rule goes on, and its agents still know the name.
#[tokio::test]
async fn an_upgrade_adopts_what_was_bound_to_the_place_of_a_rule() {
    let store = Store::with_examples();
    store.apply(&serde_json::to_value(egret_api::nirmata_crd()).unwrap());
    store.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]);
    store.apply_text(OBJECT);
    let state = store.controller();
    until(&state, |snapshot| snapshot.claims.contains_key(&claim(FIRST))).await;
    let address: std::net::IpAddr = FIRST.parse().unwrap();
    let former = ClaimRef { name: "eip.nirmata-0".to_owned(), ..claim(FIRST) };
    let plan = AddressPlan {
        claim: former,
        claim_uid: "the-uid-of-before".into(),
        ..crate::objects::plan(7)
    };
    let write = Write::AddressPlan { address, expect: None, plan };
    state.write(write).await.unwrap();
    let snapshot = until(&state, |snapshot| snapshot.addresses.contains_key(&address)).await;
    let bound = &snapshot.addresses[&address];
    let uid = &snapshot.claims[&claim(FIRST)].value.0.uid;
    assert_eq!((&bound.value.plan.claim, &bound.value.plan.claim_uid), (&claim(FIRST), uid));
    let mut moved = bound.value.plan.clone();
    moved.owner = Some(NodeName::new("node-2"));
    let expect = Some(bound.version.clone());
    state.write(Write::AddressPlan { address, expect, plan: moved.clone() }).await.unwrap();
    let object = store.server.kubectl().get(&["egressaddress", FIRST]).unwrap();
    assert_eq!(object["spec"]["claimRef"]["name"], "eip.nirmata-0");
    assert_eq!(object["spec"]["claimRef"]["uid"], "the-uid-of-before");
    assert_eq!(object["spec"]["owner"], "node-2");
    let snapshot = state.read_consistent().await.unwrap();
    assert_eq!(snapshot.addresses[&address].value.plan, moved);
}
