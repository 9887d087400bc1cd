//! Writes all that a snapshot holds into another store.

use std::path::Path;

use egret_core::model::{EgressAddress, EgressNode, Snapshot};
use egret_ports::cluster_state::{ClusterState, Write};
use egret_state::DirectoryState;

/// Every write of every object: plans and statuses one after the other, as they are made.
pub async fn everything(state: &DirectoryState, snapshot: &Snapshot) {
    for stored in snapshot.addresses.values() {
        let EgressAddress { address, plan, status, .. } = stored.value.clone();
        let made = Write::AddressPlan { address, expect: None, plan };
        let version = state.write(made).await.unwrap();
        let status = Write::AddressStatus { address, expect: Some(version), status };
        state.write(status).await.unwrap();
    }
    for stored in snapshot.egress_nodes.values() {
        let EgressNode { name: node, spec, status, .. } = stored.value.clone();
        let made = Write::NodeSpec { node: node.clone(), expect: None, spec };
        state.write(made).await.unwrap();
        state.write(Write::NodeStatus { node, status }).await.unwrap();
    }
    if let Some(stored) = &snapshot.cluster {
        let made = Write::Cluster { expect: None, cluster: stored.value.clone() };
        state.write(made).await.unwrap();
    }
    for stored in snapshot.pools.values() {
        let (pool, status) = stored.value.clone();
        state.write(Write::PoolStatus { pool: pool.name, status }).await.unwrap();
    }
    for stored in snapshot.claims.values() {
        let (claim, status) = stored.value.clone();
        state.write(Write::ClaimStatus { claim: claim.reference, status }).await.unwrap();
    }
}

/// The events of a store, recorded in another.
pub async fn events(state: &DirectoryState, from: &Path) {
    for recorded in egret_state::events(from).unwrap() {
        assert_eq!(recorded.count, 1, "{recorded:?}");
        state.event(recorded.event).await.unwrap();
    }
}
