//! Port blocks: which ports of an egress address are leased to which director.
//!
//! State: the grants stand in the `EgressNode` specs; the controller alone writes them.
//! Always: no port of an address is in two entries of any two nodes, ended or not; an entry goes
//! only when its quarantine is over; ports that a plan frees are given out by a later plan, so that
//! no subset of a plan's writes gives a port twice.

mod conflict;
mod draw;
mod grant;
mod quarantine;
mod space;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::{
    BlockGrant, Claim, ClaimRef, EgressNodeSpec, Family, Millis, NodeName, Snapshot,
};
use crate::rendezvous;
use crate::selection::Selection;

pub use conflict::conflicting_grants;
pub use draw::{BlockDraw, BlockField};
pub use grant::grant;
pub use quarantine::{UnacknowledgedEnd, sweep};
pub use space::PortSpace;

/// How long the ports of an ended grant rest after every gateway has acknowledged the end
/// (RFC 6888, requirement 8).
pub const QUARANTINE: Millis = Millis::from_secs(120);

/// How long a node must have been absent before its blocks end.
pub const END_AFTER: Millis = Millis::from_secs(300);

/// Up to so many nodes get a block of each claim's address before they ask.
pub const AHEAD_NODES: usize = 16;

/// The lowest port of any block.
pub const FIRST_PORT: u16 = 1024;

/// The smallest block.
pub const MIN_SIZE: u16 = 128;

/// The ports of an address that blocks are cut from.
pub const PORTS: u32 = 65_536 - FIRST_PORT as u32;

/// The size of a new block: the largest power of two with which `nodes` nodes take half of the
/// ports, between 128 and `per_node`.
pub fn default_size(nodes: usize, per_node: u16) -> u16 {
    let nodes = u32::try_from(nodes).unwrap_or(u32::MAX).max(1);
    let fair = (PORTS / 2 / nodes).max(1);
    let floor = |number: u32| 1u32 << number.max(1).ilog2();
    let size = floor(fair).min(floor(u32::from(per_node))).max(u32::from(MIN_SIZE));
    u16::try_from(size).unwrap_or(MIN_SIZE)
}

/// A claim's addresses of one family in the order in which a node uses them, by rendezvous hash: the
/// same answer on the node and in the controller.
///
/// Guarantee: an address that goes moves only the nodes that used it.
pub fn ranked<'a>(
    addresses: impl IntoIterator<Item = &'a IpAddr>,
    node: &NodeName,
    family: Family,
) -> Vec<IpAddr> {
    let seed = rendezvous::seed(node);
    let of_family = |address: &&IpAddr| Family::of(**address) == family;
    let mut ranked: Vec<IpAddr> = addresses.into_iter().filter(of_family).copied().collect();
    ranked.sort_by_cached_key(|address| {
        Reverse((rendezvous::weight(seed, rendezvous::seed(address)), *address))
    });
    ranked
}

/// The grants that end when a node that has `grants` (live ones of one address) needs only `need`
/// of them: the newest first. The node closes and empties the same ones before it asks for less.
pub fn surplus(grants: &[BlockGrant], need: u32) -> Vec<BlockGrant> {
    let mut grants = grants.to_vec();
    grants.sort_by_key(|grant| (grant.epoch, grant.ports));
    let keep = usize::try_from(need).unwrap_or(usize::MAX).min(grants.len());
    grants.split_off(keep)
}

/// How many blocks `me` needs of each address: what it writes into its status.
///
/// One of the address that it uses of every claim with pods here, and of a growing address what
/// `pressure` says: how many blocks its present use asks for (of an address with open connections
/// at least 1).
pub fn needs(
    snapshot: &Snapshot,
    me: &NodeName,
    pressure: &BTreeMap<IpAddr, u32>,
) -> BTreeMap<IpAddr, u32> {
    let pods = Selection::of_node(snapshot, me);
    let mut needs: BTreeMap<IpAddr, u32> = pressure
        .iter()
        .filter(|(address, blocks)| **blocks > 0 && is_live(snapshot, **address))
        .map(|(address, blocks)| (*address, *blocks))
        .collect();
    for (claim, addresses) in bound(snapshot) {
        let claim = snapshot.claims.get(claim).map(|stored| &stored.value.0);
        if !claim.is_some_and(|claim| pods.of(claim).any(|pod| !pod.host_network)) {
            continue;
        }
        for family in [Family::IPv4, Family::IPv6] {
            if let Some(address) = ranked(&addresses, me, family).first() {
                needs.entry(*address).or_insert(1);
            }
        }
    }
    needs
}

/// The live addresses of every claim, as the `EgressAddress`es say: what is steered to.
pub fn bound(snapshot: &Snapshot) -> BTreeMap<&ClaimRef, BTreeSet<IpAddr>> {
    let mut bound: BTreeMap<&ClaimRef, BTreeSet<IpAddr>> = BTreeMap::new();
    for (address, stored) in &snapshot.addresses {
        let plan = &stored.value.plan;
        let claim = snapshot.claims.get(&plan.claim).map(|stored| &stored.value.0);
        // A claim that is made anew is the same one, where it names the same pool.
        let same = |claim: &Claim| claim.uid == plan.claim_uid || claim.pool == plan.pool;
        if plan.end.is_none() && claim.is_some_and(same) {
            bound.entry(&plan.claim).or_default().insert(*address);
        }
    }
    bound
}

/// The blocks of a node while a plan is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeBlocksDraft {
    /// Every entry, old and new.
    pub grants: Vec<DraftGrant>,
}

/// One entry of a [`NodeBlocksDraft`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftGrant {
    /// As it stands in the spec, without the numbers that are still to be drawn.
    pub grant: BlockGrant,
    /// It is new: its epoch is to be drawn.
    pub new: bool,
    /// It ends now: the number of its end is to be drawn.
    pub ends: bool,
}

impl NodeBlocksDraft {
    /// The entries as they are.
    pub fn of(spec: &EgressNodeSpec) -> Self {
        let draft =
            |grant: &BlockGrant| DraftGrant { grant: grant.clone(), new: false, ends: false };
        Self { grants: spec.blocks.iter().map(draft).collect() }
    }

    /// The spec's blocks, in order of address and ports, with what is to be drawn; numbers are
    /// taken from `next` on.
    pub fn finish(mut self, next: &mut u64) -> (Vec<BlockGrant>, Vec<BlockDraw>) {
        self.grants.sort_by_key(|draft| (draft.grant.address, draft.grant.ports));
        let mut draws = Vec::new();
        for (block, draft) in self.grants.iter().enumerate() {
            let fields = [(draft.new, BlockField::Epoch), (draft.ends, BlockField::Ended)];
            for (_, field) in fields.into_iter().filter(|(set, _)| *set) {
                draws.push(BlockDraw { block, field, number: *next });
                *next += 1;
            }
        }
        (self.grants.into_iter().map(|draft| draft.grant).collect(), draws)
    }
}

fn is_live(snapshot: &Snapshot, address: IpAddr) -> bool {
    snapshot.addresses.get(&address).is_some_and(|stored| stored.value.plan.end.is_none())
}

#[cfg(test)]
mod tests;
