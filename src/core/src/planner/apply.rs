use crate::model::{
    ConditionType, EgressAddress, EgressNode, NodeName, ResourceVersion, Snapshot, Stored, Write,
};

/// What the store holds after `write`: for tests, fakes and `what-if`.
///
/// Guarantees: the version of the written object changes. A write to an object that is not there
/// (a status) changes nothing.
pub fn apply(snapshot: &mut Snapshot, write: &Write) {
    match write {
        Write::AddressPlan { address, plan, .. } => {
            let stored = snapshot.addresses.entry(*address).or_insert_with(|| {
                let value = EgressAddress {
                    address: *address,
                    plan: plan.clone(),
                    status: Default::default(),
                    deleting: false,
                };
                Stored { version: ResourceVersion::default(), value }
            });
            put(stored, |value| value.plan = plan.clone());
        }
        Write::AddressStatus { address, status, .. } => {
            if let Some(stored) = snapshot.addresses.get_mut(address) {
                put(stored, |value| value.status = status.clone());
            }
        }
        Write::DeleteAddress { address, .. } => {
            snapshot.addresses.remove(address);
        }
        Write::NodeSpec { .. }
        | Write::NodeStatus { .. }
        | Write::AgentAbsent { .. }
        | Write::AdmitPods { .. }
        | Write::DeleteNode { .. } => apply_to_node(snapshot, write),
        Write::Cluster { cluster, .. } => match &mut snapshot.cluster {
            Some(stored) => put(stored, |value| *value = cluster.clone()),
            None => {
                snapshot.cluster =
                    Some(Stored { version: ResourceVersion("1".into()), value: cluster.clone() });
            }
        },
        Write::ClusterStatus { status } => snapshot.cluster_status = status.clone(),
        Write::PoolPaused { pool, paused } => {
            if let Some(stored) = snapshot.pools.get_mut(pool) {
                put(stored, |value| value.0.paused = *paused);
            }
        }
        Write::PoolStatus { pool, status } => {
            if let Some(stored) = snapshot.pools.get_mut(pool) {
                put(stored, |value| value.1 = status.clone());
            }
        }
        Write::ClaimStatus { claim, status } => {
            if let Some(stored) = snapshot.claims.get_mut(claim) {
                put(stored, |value| value.1 = status.clone());
            }
        }
    }
}

fn apply_to_node(snapshot: &mut Snapshot, write: &Write) {
    match write {
        Write::NodeSpec { node, spec, .. } => {
            put(egress_node(snapshot, node), |value| value.spec = spec.clone());
        }
        Write::NodeStatus { node, status } => {
            put(egress_node(snapshot, node), |value| value.status = status.clone());
        }
        Write::AgentAbsent { node, condition } => {
            if let Some(stored) = snapshot.egress_nodes.get_mut(node) {
                put(stored, |value| {
                    let conditions = &mut value.status.conditions;
                    conditions.retain(|known| known.kind != ConditionType::AgentAbsent);
                    conditions.extend(condition.clone());
                });
            }
        }
        Write::AdmitPods { node } => {
            if let Some(node) = snapshot.nodes.get_mut(node) {
                node.awaits_agent = false;
            }
        }
        Write::DeleteNode { node, .. } => {
            snapshot.egress_nodes.remove(node);
        }
        _ => {}
    }
}

fn egress_node<'a>(snapshot: &'a mut Snapshot, node: &NodeName) -> &'a mut Stored<EgressNode> {
    snapshot.egress_nodes.entry(node.clone()).or_insert_with(|| Stored {
        version: ResourceVersion::default(),
        value: EgressNode {
            name: node.clone(),
            spec: Default::default(),
            status: Default::default(),
            deleting: false,
        },
    })
}

fn put<T>(stored: &mut Stored<T>, change: impl FnOnce(&mut T)) {
    change(&mut stored.value);
    let number: u64 = stored.version.0.parse().unwrap_or(0);
    stored.version = ResourceVersion((number + 1).to_string());
}
