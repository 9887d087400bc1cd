use crate::model::{EgressAddress, EgressNode, Snapshot, Stored, Version};

use super::Action;

/// What the store holds after `action`: for tests, fakes and `what-if`.
///
/// Guarantees: the version of the written object changes. An action on an object that is not there
/// (a status) changes nothing.
pub fn apply(snapshot: &mut Snapshot, action: &Action) {
    match action {
        Action::AddressPlan { address, plan, .. } => {
            let stored = snapshot.addresses.entry(*address).or_insert_with(|| {
                let value = EgressAddress {
                    address: *address,
                    plan: plan.clone(),
                    status: Default::default(),
                    deleting: false,
                };
                Stored { version: Version::default(), value }
            });
            put(stored, |value| value.plan = plan.clone());
        }
        Action::AddressStatus { address, status, .. } => {
            if let Some(stored) = snapshot.addresses.get_mut(address) {
                put(stored, |value| value.status = status.clone());
            }
        }
        Action::DeleteAddress { address, .. } => {
            snapshot.addresses.remove(address);
        }
        Action::NodeSpec { node, spec, .. } => {
            let stored = snapshot.egress_nodes.entry(node.clone()).or_insert_with(|| Stored {
                version: Version::default(),
                value: EgressNode {
                    name: node.clone(),
                    spec: spec.clone(),
                    status: Default::default(),
                    deleting: false,
                },
            });
            put(stored, |value| value.spec = spec.clone());
        }
        Action::AdmitPods { node } => {
            if let Some(node) = snapshot.nodes.get_mut(node) {
                node.awaits_agent = false;
            }
        }
        Action::DeleteNode { node, .. } => {
            snapshot.egress_nodes.remove(node);
        }
        Action::Cluster { cluster, .. } => match &mut snapshot.cluster {
            Some(stored) => put(stored, |value| *value = cluster.clone()),
            None => {
                snapshot.cluster =
                    Some(Stored { version: Version("1".into()), value: cluster.clone() });
            }
        },
        Action::PoolStatus { pool, status } => {
            if let Some(stored) = snapshot.pools.get_mut(pool) {
                put(stored, |value| value.1 = status.clone());
            }
        }
        Action::ClaimStatus { claim, status } => {
            if let Some(stored) = snapshot.claims.get_mut(claim) {
                put(stored, |value| value.1 = status.clone());
            }
        }
    }
}

fn put<T>(stored: &mut Stored<T>, change: impl FnOnce(&mut T)) {
    change(&mut stored.value);
    let number: u64 = stored.version.0.parse().unwrap_or(0);
    stored.version = Version((number + 1).to_string());
}
