use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::cidr;
use crate::ipam::own_network::OwnAddresses;
use crate::ipam::{contested, ranges};
use crate::model::{ClaimRef, ClusterRanges, Family, Pool, PoolName, Snapshot};
use crate::reason::{Cause, Reason};

/// How many free addresses a message names.
const NAMED: usize = 3;

/// Free addresses of every pool, given out in the order in which the pool's ranges are written.
///
/// A pool's cursor only moves forward, so that all of a plan's allocations together cost one walk
/// over what is in use, however large the ranges are.
pub(super) struct Allocators<'a> {
    snapshot: &'a Snapshot,
    ranges: &'a ClusterRanges,
    own: &'a OwnAddresses,
    /// Addresses that a claim asks for by name, or has back: not the pool's to choose. And those that
    /// another host was found to have.
    asked: BTreeSet<IpAddr>,
    cursors: BTreeMap<(PoolName, Family), Cursor>,
}

#[derive(Clone, Copy)]
struct Cursor {
    range: usize,
    /// The next address to look at; `None`: the range's first.
    next: Option<IpAddr>,
}

impl<'a> Allocators<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        ranges: &'a ClusterRanges,
        own: &'a OwnAddresses,
        taken: &BTreeMap<IpAddr, &ClaimRef>,
    ) -> Self {
        let claims = snapshot.claims.values();
        let mut asked: BTreeSet<IpAddr> =
            claims.flat_map(|stored| stored.value.0.addresses.iter().copied()).collect();
        asked.extend(taken.keys());
        for pool in snapshot.pools.keys() {
            asked.extend(contested::taken_elsewhere(snapshot, pool).into_values().flatten());
        }
        Self { snapshot, ranges, own, asked, cursors: BTreeMap::new() }
    }

    /// The next free address of a family.
    pub(super) fn take(&mut self, pool: &PoolName, family: Family) -> Option<IpAddr> {
        let pool = &self.snapshot.pools.get(pool)?.value.0;
        let start = Cursor { range: 0, next: None };
        let key = (pool.name.clone(), family);
        let cursor = self.cursors.get(&key).copied().unwrap_or(start);
        let (found, cursor) = self.find(pool, family, cursor);
        self.cursors.insert(key, cursor);
        found
    }

    /// Takes this address, where it is free.
    pub(super) fn take_named(&mut self, pool: &Pool, address: IpAddr) -> bool {
        let free = pool.has(address) && self.is_free(pool, address);
        free && self.asked.insert(address)
    }

    /// Adds to a refusal of an address what is free instead.
    pub(super) fn add_free(&self, pool: &PoolName, verdict: &mut Cause) {
        let about_an_address = matches!(
            verdict.reason,
            Reason::AddressOutsidePool
                | Reason::AddressReserved
                | Reason::AddressInUse
                | Reason::AddressIsNodeAddress
                | Reason::AddressIsNextHop
        );
        let Some(stored) = self.snapshot.pools.get(pool).filter(|_| about_an_address) else {
            return;
        };
        let pool = &stored.value.0;
        let mut free = Vec::new();
        for family in [Family::IPv4, Family::IPv6] {
            let start = Cursor { range: 0, next: None };
            let mut cursor =
                self.cursors.get(&(pool.name.clone(), family)).copied().unwrap_or(start);
            for _ in 0..NAMED {
                let (found, after) = self.find(pool, family, cursor);
                cursor = after;
                free.extend(found.map(|address| address.to_string()));
            }
        }
        verdict.message += &match free.is_empty() {
            true => format!("; pool {} has nothing free: add a range to it", pool.name),
            false => format!("; free in pool {} are {}", pool.name, free.join(", ")),
        };
    }

    fn find(&self, pool: &Pool, family: Family, mut cursor: Cursor) -> (Option<IpAddr>, Cursor) {
        while let Some(range) = pool.ranges.get(cursor.range) {
            let mut next = match cursor.next {
                _ if range.family() != family => None,
                Some(next) => Some(next).filter(|next| range.contains(*next)),
                None => Some(range.first()),
            };
            while let Some(address) = next {
                let after = cidr::next(address).filter(|after| range.contains(*after));
                if self.is_free(pool, address) {
                    let cursor = match after {
                        Some(_) => Cursor { next: after, ..cursor },
                        None => Cursor { range: cursor.range + 1, next: None },
                    };
                    return (Some(address), cursor);
                }
                next = after;
            }
            cursor = Cursor { range: cursor.range + 1, next: None };
        }
        (None, cursor)
    }

    fn is_free(&self, pool: &Pool, address: IpAddr) -> bool {
        !self.snapshot.addresses.contains_key(&address)
            && !self.asked.contains(&address)
            && !pool.reserved.contains(&address)
            && !ranges::is_node_address(self.ranges, address)
            && !self.own.contains_key(&address)
    }
}
