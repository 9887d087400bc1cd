//! In which order the writes of a plan are made, and which of them at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::PlannedWrite;
use crate::membership::liveness;
use crate::model::{AddressPlan, ClaimRef, NodeName, PoolName, Snapshot, Write};

/// Writes that wait for no other of this stage, but for those before them in their lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteStage {
    /// Each in its order; any of them at once, in this order where not all can be.
    pub lanes: Vec<Vec<PlannedWrite>>,
    /// They are statuses, which nobody waits for: one after the other, so that the next turn finds what agents have
    /// written meanwhile, and not each state in between is written.
    pub are_statuses: bool,
}

/// What the writes of one lane have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    /// Their numbers appear in order (see [`super`]).
    NodeSpecs,
    Address(IpAddr),
    Node(NodeName),
    Pool(PoolName),
    Claim(ClaimRef),
    Cluster,
}

/// These writes, which were planned from `snapshot` in this order, stage after stage.
///
/// Guarantees: all of them, once. Plans of addresses come first, those before all others that give one to a living
/// node which no living node has; then the cluster object, the specs of nodes (one after the other), what
/// is deleted because of them, and what is said of all that.
pub fn stages(writes: Vec<PlannedWrite>, snapshot: &Snapshot) -> Vec<WriteStage> {
    let absent = liveness::absent(snapshot);
    let mut writes: Vec<((u8, u8), PlannedWrite)> = writes
        .into_iter()
        .map(|planned| {
            ((stage_of(&planned.write), urgency(&planned.write, snapshot, &absent)), planned)
        })
        .collect();
    writes.sort_by_key(|(place, _)| *place);
    let mut by_stage: BTreeMap<u8, (WriteStage, BTreeMap<Lane, usize>)> = BTreeMap::new();
    for ((stage, _), planned) in writes {
        let (WriteStage { lanes, are_statuses }, places) = by_stage.entry(stage).or_default();
        *are_statuses = stage == STATUSES;
        let place = *places.entry(lane_of(&planned.write)).or_insert(lanes.len());
        if place == lanes.len() {
            lanes.push(Vec::new());
        }
        lanes[place].push(planned);
    }
    by_stage.into_values().map(|(stage, _)| stage).collect()
}

const STATUSES: u8 = 4;

fn stage_of(write: &Write) -> u8 {
    match write {
        Write::AddressPlan { .. } => 0,
        // Roles and deletions were decided with it.
        Write::Cluster { .. } => 1,
        Write::AdmitPods { .. } | Write::NodeSpec { .. } | Write::DeleteNode { .. } => 2,
        // No block is left in the specs.
        Write::DeleteAddress { .. } => 3,
        Write::AddressStatus { .. }
        | Write::NodeStatus { .. }
        | Write::AgentAbsent { .. }
        | Write::PoolPaused { .. }
        | Write::PoolStatus { .. }
        | Write::ClaimStatus { .. }
        | Write::ClusterStatus { .. } => STATUSES,
    }
}

fn lane_of(write: &Write) -> Lane {
    match write {
        Write::NodeSpec { .. } | Write::DeleteNode { .. } => Lane::NodeSpecs,
        Write::AddressPlan { address, .. }
        | Write::AddressStatus { address, .. }
        | Write::DeleteAddress { address, .. } => Lane::Address(*address),
        Write::AdmitPods { node }
        | Write::NodeStatus { node, .. }
        | Write::AgentAbsent { node, .. } => Lane::Node(node.clone()),
        Write::PoolPaused { pool, .. } | Write::PoolStatus { pool, .. } => Lane::Pool(pool.clone()),
        Write::ClaimStatus { claim, .. } => Lane::Claim(claim.clone()),
        Write::Cluster { .. } | Write::ClusterStatus { .. } => Lane::Cluster,
    }
}

/// 0 goes first: an address that nobody alive has gets somebody who is. Then other owners, then the rest.
fn urgency(write: &Write, snapshot: &Snapshot, absent: &BTreeSet<NodeName>) -> u8 {
    let Write::AddressPlan { address, plan: AddressPlan { owner: Some(owner), .. }, .. } = write
    else {
        return 2;
    };
    let stored = snapshot.addresses.get(address).map(|stored| &stored.value);
    let owned = stored.and_then(|its| its.plan.owner.as_ref());
    if owned == Some(owner) {
        return 2;
    }
    let holder = stored.and_then(|its| its.status.holding.as_ref()).map(|holding| &holding.node);
    let has = holder.or(owned).is_some_and(|node| !absent.contains(node));
    u8::from(has || absent.contains(owner))
}
