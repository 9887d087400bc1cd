//! Which gateway gets which address: an owner and ranked standbys.
//!
//! Always: an address stays where it is while its owner may carry it; who is found holding it
//! after a takeover becomes its owner; a node that goes takes only its own addresses along.
//! Nothing here moves an address of a paused pool, or one that is revoked.

mod gateways;
mod owner;
mod standbys;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::model::{AddressEnd, AddressPlan, Millis, NodeName, PoolName, Snapshot, Timestamp};
use crate::plan::Memory;

pub use gateways::{Gateways, Ineligible};

/// The most standbys of an address. Each costs the holder's renewals one more recipient and a port
/// block's quarantine one more acknowledgement.
pub const MAX_STANDBYS: usize = 3;

/// How long a node must have been there before an address goes back to it (failback
/// `Immediately`).
pub const FAILBACK_AFTER: Millis = Millis::from_secs(300);

/// Why an address gets another owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Move {
    /// It had none.
    First,
    /// Another gateway has taken it over and is adopted as its owner.
    Adopted,
    /// A person asked for this node.
    Preferred,
    /// It goes back to the node that it failed over from.
    Failback,
    /// Its owner is drained or cordoned.
    Drained,
    /// Its owner is absent.
    Absent,
    /// Its owner may not carry it any more: selector, subnet, endpoint or key.
    Ineligible,
}

/// Puts owner, standbys and `made_for` into the plans; returns what moved and why.
///
/// `plans` holds every address in use, new ones without an owner. Plans that are paused or revoked
/// stay as they are and count as load.
pub fn place(
    snapshot: &Snapshot,
    memory: &Memory,
    now: Timestamp,
    plans: &mut BTreeMap<IpAddr, AddressPlan>,
) -> BTreeMap<IpAddr, Move> {
    let gateways = Gateways::new(snapshot);
    let mut loads = Loads::default();
    let moves = owner::choose(snapshot, memory, now, &gateways, plans, &mut loads);
    standbys::choose(snapshot, &gateways, plans, &loads);
    moves
}

/// Whether placement must leave this plan alone.
fn is_fixed(plan: &AddressPlan) -> bool {
    plan.paused || matches!(plan.end, Some(AddressEnd::Revoked { .. }))
}

/// How many addresses nodes own.
#[derive(Default)]
struct Loads {
    total: BTreeMap<NodeName, usize>,
    by_pool: BTreeMap<PoolName, BTreeMap<NodeName, usize>>,
}

impl Loads {
    fn add(&mut self, pool: &PoolName, node: &NodeName) {
        *self.total.entry(node.clone()).or_default() += 1;
        let pool = self.by_pool.entry(pool.clone()).or_default();
        *pool.entry(node.clone()).or_default() += 1;
    }

    fn total(&self, node: &NodeName) -> usize {
        self.total.get(node).copied().unwrap_or(0)
    }

    fn in_pool(&self, pool: &PoolName, node: &NodeName) -> usize {
        self.by_pool.get(pool).and_then(|pool| pool.get(node)).copied().unwrap_or(0)
    }

    /// Whether `node` may own one more address of the pool.
    fn has_room(&self, snapshot: &Snapshot, pool: &PoolName, node: &NodeName) -> bool {
        snapshot.pools.get(pool).is_none_or(|stored| {
            let most = stored.value.0.max_addresses_per_node;
            self.in_pool(pool, node) < usize::try_from(most).unwrap_or(usize::MAX)
        })
    }
}

#[cfg(test)]
mod tests;
