//! Which gateway gets which address: an owner and ranked standbys.
//!
//! Always: an address stays where it is while its owner may carry it; who is found holding it
//! after a takeover becomes its owner; a node that goes takes only its own addresses along.
//! Nothing here moves an address of a pool that is paused or gone, or one that is revoked.

mod gateways;
mod owner;
mod standbys;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::model::{AddressPlan, Millis, PoolName, Snapshot, Timestamp};
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
    let gateways = Gateways::new(snapshot, &memory.fabrics);
    let nodes = gateways.len();
    let mut loads =
        Loads { total: vec![0; nodes], by_pool: BTreeMap::new(), arriving: vec![0; nodes] };
    let moves = owner::choose(snapshot, memory, now, &gateways, plans, &mut loads);
    standbys::choose(&gateways, plans, &mut loads);
    moves
}

/// Whether placement must leave this plan alone. Without its pool nobody knows who may carry an
/// address: it keeps the gateways that it has.
fn is_fixed(gateways: &Gateways<'_>, plan: &AddressPlan) -> bool {
    let revoked = plan.is_revoked();
    plan.paused || revoked || !gateways.knows(&plan.pool)
}

/// How many addresses nodes own, by position among the gateways.
struct Loads {
    total: Vec<usize>,
    by_pool: BTreeMap<PoolName, Vec<usize>>,
    /// Addresses that a cloud has yet to bring to the node, as owner or standby.
    arriving: Vec<usize>,
}

impl Loads {
    fn add(&mut self, gateways: &Gateways<'_>, pool: &PoolName, address: IpAddr, node: usize) {
        self.reserve(gateways, pool, address, node);
        let nodes = self.total.len();
        if let Some(total) = self.total.get_mut(node) {
            *total += 1;
        }
        if !self.by_pool.contains_key(pool) {
            self.by_pool.insert(pool.clone(), vec![0; nodes]);
        }
        if let Some(load) = self.by_pool.get_mut(pool).and_then(|pool| pool.get_mut(node)) {
            *load += 1;
        }
    }

    /// Counts what the node's cloud has to make room for.
    fn reserve(&mut self, gateways: &Gateways<'_>, pool: &PoolName, address: IpAddr, node: usize) {
        let there = gateways.room_in_cloud(pool, node, address).is_none_or(|(_, there)| there);
        if let (false, Some(arriving)) = (there, self.arriving.get_mut(node)) {
            *arriving += 1;
        }
    }

    fn total(&self, node: usize) -> usize {
        self.total.get(node).copied().unwrap_or(0)
    }

    /// Whether the node may own one more address of the pool, and its cloud has room for it.
    fn has_room(
        &self,
        gateways: &Gateways<'_>,
        pool: &PoolName,
        address: IpAddr,
        node: usize,
    ) -> bool {
        let load = self.by_pool.get(pool).and_then(|pool| pool.get(node)).copied().unwrap_or(0);
        let arriving = self.arriving.get(node).copied().unwrap_or(0);
        let fits = gateways
            .room_in_cloud(pool, node, address)
            .is_none_or(|(free, there)| there || arriving < free);
        load < gateways.most(pool) && fits
    }
}

#[cfg(test)]
mod tests;
