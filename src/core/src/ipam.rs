//! Which address belongs to which claim, as PersistentVolumes belong to PersistentVolumeClaims.
//!
//! Always: what is bound stays bound while its claim asks for it (existing `EgressAddress`es are
//! adopted first); a new address goes to one claim: the older, then the one whose name is first.
//! Then a claim whose `EgressAddress` is gone has back what its status names.
//! An address that is still being freed goes to nobody but the claim that had it. A claim is known
//! by its kind, namespace, name and pool: one that is deleted and made anew is the same.

mod allocator;
pub(crate) mod contested;
mod ended;
pub(crate) mod former;
mod own_network;
mod pools;
pub mod ranges;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::{
    AddressEnd, AddressPlan, Claim, ClaimRef, ClusterRanges, EgressAddress, Family, Pool, PoolName,
    Snapshot,
};
use crate::reason::{Cause, Reason};

use allocator::Allocators;
use own_network::OwnAddresses;

/// Who has what, and who does not and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bindings {
    /// By claim.
    pub claims: BTreeMap<ClaimRef, ClaimBinding>,
    /// Pools that cannot be used.
    pub pools: BTreeMap<PoolName, Cause>,
    /// Addresses whose binding is over, with the reason for people.
    pub ends: BTreeMap<IpAddr, &'static str>,
    /// Addresses whose end is taken back: their claims ask for them again, and have them as bound.
    pub resumed: BTreeSet<IpAddr>,
}

/// What one claim has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimBinding {
    /// Addresses that it has already.
    pub bound: BTreeSet<IpAddr>,
    /// Addresses that it gets now.
    pub new: BTreeSet<IpAddr>,
    /// Why it is not accepted.
    pub refused: Option<Cause>,
    /// Why it is accepted and has not all of its addresses.
    pub waits: Option<Cause>,
}

impl ClaimBinding {
    fn have(&self, family: Family) -> usize {
        self.bound.iter().chain(&self.new).filter(|have| Family::of(**have) == family).count()
    }
}

/// Decides every binding.
pub fn bind(snapshot: &Snapshot, ranges: &ClusterRanges) -> Bindings {
    let mut bindings = Bindings { pools: pools::unusable(snapshot, ranges), ..Bindings::default() };
    let own = own_network::addresses(snapshot);
    adopt(snapshot, &own, &mut bindings);
    let families = ranges::families(snapshot, ranges);
    let mut binder = Binder { snapshot, ranges, families, own: &own, taken: BTreeMap::new() };
    let claims = in_order(snapshot);
    binder.resume(&mut bindings);
    // Explicit addresses first: the pool's choice must not take what somebody asks for by name.
    for claim in claims.iter().filter(|claim| !claim.addresses.is_empty()) {
        binder.bind_explicit(claim, &mut bindings);
    }
    let mut allocators = Allocators::new(snapshot, ranges, &own, &binder.taken);
    let chosen = || claims.iter().filter(|claim| claim.addresses.is_empty());
    chosen().for_each(|claim| binder.recall(claim, &mut allocators, &mut bindings));
    for claim in chosen() {
        binder.bind_count(claim, &mut allocators, &mut bindings);
    }
    for (claim, binding) in &mut bindings.claims {
        if let (Some(verdict), Some(stored)) = (&mut binding.refused, snapshot.claims.get(claim)) {
            allocators.add_free(&stored.value.0.pool, verdict);
        }
    }
    bindings
}

/// The families that `claim` wants addresses of, where the pool chooses.
pub fn wanted_families(claim: &Claim, pool: &Pool, cluster: &BTreeSet<Family>) -> BTreeSet<Family> {
    let offered: BTreeSet<Family> = pool.ranges.iter().map(|range| range.family()).collect();
    match &claim.families {
        Some(families) => families.clone(),
        None => offered.intersection(cluster).copied().collect(),
    }
}

/// The claims, the older first, then by name.
fn in_order(snapshot: &Snapshot) -> Vec<&Claim> {
    let mut claims: Vec<&Claim> = snapshot.claims.values().map(|stored| &stored.value.0).collect();
    claims.sort_by_key(|claim| (claim.created, &claim.reference));
    claims
}

/// Existing addresses: kept by their claim, or over.
fn adopt(snapshot: &Snapshot, own: &OwnAddresses, bindings: &mut Bindings) {
    for name in snapshot.claims.keys() {
        bindings.claims.insert(name.clone(), ClaimBinding::default());
    }
    for (address, stored) in &snapshot.addresses {
        let plan = &stored.value.plan;
        if plan.end.is_some() || snapshot.unreadable_claims.contains(&plan.claim) {
            continue;
        }
        let claim = snapshot.claims.get(&plan.claim).map(|stored| &stored.value.0);
        let kept = bindings.claims.get_mut(&plan.claim);
        let why =
            over(&stored.value, claim).or_else(|| own_network::given_back(own, &stored.value));
        match (why, kept) {
            (None, Some(binding)) if has_room(claim, binding, *address) => {
                binding.bound.insert(*address);
            }
            (None, _) => {
                bindings.ends.insert(*address, "the claim asks for fewer addresses");
            }
            (Some(why), _) => {
                bindings.ends.insert(*address, why);
            }
        }
    }
}

/// Why `claim` has this address no longer; `None` where it still asks for it.
fn over(address: &EgressAddress, claim: Option<&Claim>) -> Option<&'static str> {
    if address.deleting {
        return Some("somebody deletes the EgressAddress");
    }
    let Some(claim) = claim else { return Some("its claim is deleted") };
    if claim.pool != address.plan.pool {
        return Some("its claim names another pool");
    }
    if !claim.addresses.is_empty() {
        let listed = claim.addresses.contains(&address.address);
        return (!listed).then_some("its claim no longer lists it");
    }
    // What pool and cluster have is a default for new addresses: one that is bound stays bound.
    let family = Family::of(address.address);
    let dropped = claim.families.as_ref().is_some_and(|families| !families.contains(&family));
    dropped.then_some("its claim no longer asks for this family")
}

fn has_room(claim: Option<&Claim>, binding: &ClaimBinding, address: IpAddr) -> bool {
    let Some(claim) = claim else { return false };
    let count = usize::try_from(claim.count).unwrap_or(usize::MAX);
    !claim.addresses.is_empty() || binding.have(Family::of(address)) < count
}

struct Binder<'a> {
    snapshot: &'a Snapshot,
    ranges: &'a ClusterRanges,
    families: BTreeSet<Family>,
    own: &'a OwnAddresses,
    /// Addresses given out in this pass, and to whom.
    taken: BTreeMap<IpAddr, &'a ClaimRef>,
}

impl<'a> Binder<'a> {
    /// Gives claims back what they had and what has not ended yet, where they ask for it and are let in: what
    /// is released and has connections yet; what is revoked where they could have it as a new address.
    fn resume(&self, bindings: &mut Bindings) {
        for (address, stored, end) in ended::by_preference(self.snapshot) {
            let claim = self.snapshot.claims.get(&stored.plan.claim).map(|claim| &claim.value.0);
            let Some(claim) = claim else { continue };
            let Ok(pool) = self.pool_of(claim, bindings) else { continue };
            let asked = over(stored, Some(claim)).is_none() && !self.paused(claim);
            let served = own_network::given_back(self.own, stored).is_none();
            let kept = matches!(end, AddressEnd::Released { .. }) && served;
            let given = kept || self.gives(pool, address);
            let Some(binding) = bindings.claims.get_mut(&claim.reference) else { continue };
            if asked && given && has_room(Some(claim), binding, address) {
                binding.bound.insert(address);
                bindings.resumed.insert(address);
            }
        }
    }

    /// Whether the pool would give out the address as a new one, if nobody had it.
    fn gives(&self, pool: &Pool, address: IpAddr) -> bool {
        pool.has(address)
            && !ranges::is_node_address(self.ranges, address)
            && !self.own.contains_key(&address)
    }

    fn bind_explicit(&mut self, claim: &'a Claim, bindings: &mut Bindings) {
        let refused = match self.pool_of(claim, bindings) {
            Ok(pool) => claim
                .addresses
                .iter()
                .find_map(|address| self.refuse(claim, pool, *address, bindings)),
            Err(verdict) => Some(verdict),
        };
        let paused = self.paused(claim);
        let Some(binding) = bindings.claims.get_mut(&claim.reference) else { return };
        if let Some(verdict) = refused {
            binding.refused = Some(verdict);
            return;
        }
        for address in &claim.addresses {
            if binding.bound.contains(address) {
                continue;
            }
            if self.snapshot.addresses.contains_key(address) {
                binding.waits.get_or_insert_with(|| releasing(*address));
            } else if paused {
                binding.waits.get_or_insert_with(|| pool_paused(&claim.pool));
            } else {
                binding.new.insert(*address);
                self.taken.insert(*address, &claim.reference);
            }
        }
    }

    fn bind_count(
        &mut self,
        claim: &Claim,
        allocators: &mut Allocators<'_>,
        bindings: &mut Bindings,
    ) {
        let pool = self.pool_of(claim, bindings);
        let paused = self.paused(claim);
        let Bindings { claims, ends, .. } = bindings;
        let Some(binding) = claims.get_mut(&claim.reference) else { return };
        let pool = match pool {
            Ok(pool) => pool,
            Err(verdict) => {
                binding.refused = Some(verdict);
                return;
            }
        };
        let families = wanted_families(claim, pool, &self.families);
        let count = usize::try_from(claim.count).unwrap_or(usize::MAX);
        // What the pool has no longer is enough where it is bound.
        let wanting: BTreeSet<Family> =
            families.iter().copied().filter(|family| binding.have(*family) < count).collect();
        let missing = match families.is_empty() && !binding.bound.is_empty() {
            true => None,
            false => missing_family(pool, &families, &wanting),
        };
        if let Some(verdict) = missing {
            binding.refused = Some(verdict);
            return;
        }
        for family in wanting {
            for _ in binding.have(family)..count {
                if paused {
                    binding.waits.get_or_insert_with(|| pool_paused(&claim.pool));
                    break;
                }
                match allocators.take(&pool.name, family) {
                    Some(address) => {
                        binding.new.insert(address);
                    }
                    None => {
                        binding.waits.get_or_insert_with(|| exhausted(pool, family));
                        break;
                    }
                }
            }
        }
        for address in contested::replaceable(self.snapshot, &binding.bound) {
            let other = || allocators.take(&pool.name, Family::of(address));
            if let Some(other) = (!paused).then(other).flatten() {
                binding.bound.remove(&address);
                binding.new.insert(other);
                ends.insert(address, contested::GIVEN_BACK);
            }
        }
    }

    /// The claim's pool, where it is usable and lets the claim in.
    fn pool_of(&self, claim: &Claim, bindings: &Bindings) -> Result<&'a Pool, Cause> {
        let Some(stored) = self.snapshot.pools.get(&claim.pool) else {
            return Err(Cause::new(
                Reason::PoolNotFound,
                format!(
                    "spec.poolRef.name: there is no EgressPool {}; create it or name another ({})",
                    claim.pool,
                    pools::names(self.snapshot),
                ),
            ));
        };
        let pool = &stored.value.0;
        if let Some(verdict) = bindings.pools.get(&pool.name) {
            return Err(Cause::new(
                Reason::PoolNotReady,
                format!("pool {} is not ready: {}", pool.name, verdict.message),
            ));
        }
        pools::admits(self.snapshot, pool, claim).map(|()| pool)
    }

    fn paused(&self, claim: &Claim) -> bool {
        self.snapshot.pools.get(&claim.pool).is_some_and(|stored| stored.value.0.paused)
    }

    /// Why an address asked for by name cannot be had.
    fn refuse(
        &self,
        claim: &Claim,
        pool: &Pool,
        address: IpAddr,
        bindings: &Bindings,
    ) -> Option<Cause> {
        let field = format!("spec.addresses: {address}");
        let existing = self.snapshot.addresses.get(&address).map(|stored| &stored.value.plan);
        // What is bound stays where the pool has it no longer: the condition says OutsidePool.
        let binding = bindings.claims.get(&claim.reference);
        let bound = binding.is_some_and(|binding| binding.bound.contains(&address));
        if !bound && !pool.ranges.iter().any(|range| range.contains(address)) {
            let message = format!("{field} is in no range of pool {}", pool.name);
            return Some(Cause::new(Reason::AddressOutsidePool, message));
        }
        if !bound && pool.reserved.contains(&address) {
            let message =
                format!("{field} is a network or broadcast address of pool {}", pool.name);
            return Some(Cause::new(Reason::AddressReserved, message));
        }
        if ranges::is_node_address(self.ranges, address) {
            let message = format!("{field} is the address of a node; take it out of the pool");
            return Some(Cause::new(Reason::AddressIsNodeAddress, message));
        }
        // What was bound before its router was known stays bound.
        if let Some((reason, what)) = self.own.get(&address).filter(|_| !bound) {
            return Some(Cause::new(
                *reason,
                format!("{field} is {what}; take it out of the pool"),
            ));
        }
        let owner = match existing {
            Some(plan) if ends(plan, address, bindings) => None,
            Some(plan) if plan.claim != claim.reference => Some(&plan.claim),
            _ => self.taken.get(&address).copied(),
        };
        owner.map(|owner| {
            let message = format!("{field} is in use by claim {owner}");
            Cause::new(Reason::AddressInUse, message)
        })
    }
}

/// Whether the address is ending, or ends now.
fn ends(plan: &AddressPlan, address: IpAddr, bindings: &Bindings) -> bool {
    let ended = plan.end.is_some() && !bindings.resumed.contains(&address);
    ended || bindings.ends.contains_key(&address)
}

/// Why the pool cannot serve a claim that wants `families`, and has not all that it wants of those
/// in `wanting`.
fn missing_family(
    pool: &Pool,
    families: &BTreeSet<Family>,
    wanting: &BTreeSet<Family>,
) -> Option<Cause> {
    let offered: BTreeSet<Family> = pool.ranges.iter().map(|range| range.family()).collect();
    let message = match wanting.difference(&offered).next() {
        Some(family) => format!("spec.families: pool {} has no {family} addresses", pool.name),
        None if families.is_empty() => format!(
            "pool {} has no address of a family that the cluster's pods have; name another pool",
            pool.name
        ),
        None => return None,
    };
    Some(Cause::new(Reason::FamilyNotInPool, message))
}

fn releasing(address: IpAddr) -> Cause {
    Cause::new(
        Reason::AddressReleasing,
        format!(
            "{address} is being freed by the claim that had it; it follows when its last \
             connections have ended (egret release {address} ends them now)"
        ),
    )
}

fn pool_paused(pool: &PoolName) -> Cause {
    let message = format!("pool {pool} is paused and gives out nothing; unset spec.paused");
    Cause::new(Reason::PoolPaused, message)
}

fn exhausted(pool: &Pool, family: Family) -> Cause {
    let message = format!(
        "pool {} has no free {family} address; add a range to it or delete a claim",
        pool.name
    );
    Cause::new(Reason::PoolExhausted, message)
}

#[cfg(test)]
mod tests;
