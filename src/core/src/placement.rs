//! Which gateway gets which address: an owner and ranked standbys.
//!
//! Always: an address stays where it is while its owner may carry it; who is found holding it
//! after a takeover becomes its owner; a node that goes takes only its own addresses along; where the
//! network follows only gateways that a cloud has made ready, a move that is planned waits for that.
//! Nothing here moves an address of a pool that is paused or gone, or one that is revoked.

mod changes;
mod dataplane;
mod gateways;
mod loads;
mod owner;
mod rules;
mod standbys;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::memory::LeaderMemory;
use crate::model::{AddressPlan, Snapshot, Timestamp};

use loads::Loads;

pub use changes::PlacementChanges;
pub(crate) use dataplane::{UNSUPPORTED, is_unsupported};
pub use gateways::{EligibleGateways, Ineligible, unfit};
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
    let changes = owner::choose(snapshot, memory, now, &gateways, plans, &mut loads);
    standbys::choose(&gateways, plans, &mut loads);
    changes
}

#[cfg(test)]
mod tests;
