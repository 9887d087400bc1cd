//! Which gateway gets which address: an owner and ranked standbys.
//!
//! Always: an address stays where it is while its owner may carry it; who is found holding it
//! after a takeover becomes its owner; a node that goes takes only its own addresses along; where the
//! network follows only gateways that a cloud has made ready, a move that is planned waits for that.
//! Where a pool is rebalanced one address moves at a time, while nothing else is going on.
//! Nothing here moves an address of a pool that is paused or gone, or one that is revoked.

mod changes;
mod dataplane;
mod gateways;
mod loads;
mod owner;
mod rebalance;
mod rules;
mod standbys;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::memory::LeaderMemory;
use crate::model::{AddressPlan, Snapshot, Timestamp};

use loads::Loads;
use rebalance::Rebalancer;

pub use changes::PlacementChanges;
pub(crate) use dataplane::{UNSUPPORTED, is_unsupported};
pub use gateways::{EligibleGateways, Ineligible, unfit};
pub use rebalance::Balance;
pub use rules::{FAILBACK_AFTER, MAX_STANDBYS, MoveReason, READY_WITHIN};

/// Puts owner, standbys and `made_for` into the plans.
///
/// `plans` holds every address in use, new ones without an owner. Plans that are paused or revoked
/// stay as they are and count as load.
pub fn place(
    snapshot: &Snapshot,
    memory: &LeaderMemory,
    now: Timestamp,
    plans: &mut BTreeMap<IpAddr, AddressPlan>,
) -> PlacementChanges {
    let gateways = EligibleGateways::new(snapshot, &memory.clouds);
    let mut loads = Loads::none(gateways.len());
    let mut changes = owner::choose(snapshot, memory, now, &gateways, plans, &mut loads);
    let judge = |plans: &_, loads: &_, changes: &PlacementChanges| {
        let busy = &changes.busy();
        Rebalancer { snapshot, memory, now, gateways: &gateways, loads, busy }.judge(plans)
    };
    changes.balances = judge(plans, &loads, &changes);
    if owner::rebalance((snapshot, memory, now), &gateways, plans, &mut loads, &mut changes) {
        // As the next plan will find it.
        changes.balances = judge(plans, &loads, &changes);
    }
    standbys::choose(&gateways, plans, &mut loads);
    changes
}

#[cfg(test)]
mod tests;
