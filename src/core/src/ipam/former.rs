//! What claims had before Egret was removed: their `EgressAddress`es are gone, their statuses were kept.

use std::net::IpAddr;

use super::allocator::Allocators;
use super::{Binder, Bindings, has_room, wanted_families};
use crate::model::{Claim, ClaimRef, Family, Snapshot};

/// What a claim that gets an address had before and cannot have, for people; `None` where it has all of it.
pub(crate) fn missed(snapshot: &Snapshot, bindings: &Bindings, claim: &ClaimRef) -> Option<String> {
    let (spec, status) = &snapshot.claims.get(claim)?.value;
    let binding = bindings.claims.get(claim)?;
    // What it lists itself it has given up by a change of its list.
    let has = |address: &IpAddr| {
        let stored = snapshot.addresses.get(address);
        binding.bound.contains(address)
            || binding.new.contains(address)
            || stored.is_some_and(|stored| stored.value.plan.claim == *claim)
    };
    let mut missed = status.addresses.iter().filter(|_| spec.addresses.is_empty());
    let missed = missed.find(|address| !has(address))?;
    let stored = snapshot.addresses.get(missed).map(|stored| &stored.value.plan.claim);
    let mut others = bindings.claims.iter();
    let another = others.find(|(_, other)| other.new.contains(missed)).map(|(name, _)| name);
    Some(match stored.or(another) {
        Some(other) => format!("; {missed}, which it had before, belongs to {other} now"),
        None => format!(
            "; {missed}, which it had before, it cannot have: pool {} does not give it out",
            spec.pool
        ),
    })
}

impl Binder<'_> {
    /// Binds what the claim's status names, it asks for and its pool would give out. What two statuses name
    /// goes to the claim that is asked first. A status may say anything: what is no such address is left out.
    pub(super) fn recall(
        &self,
        claim: &Claim,
        allocators: &mut Allocators<'_>,
        bindings: &mut Bindings,
    ) {
        let Ok(pool) = self.pool_of(claim, bindings) else { return };
        if pool.paused {
            return;
        }
        let families = wanted_families(claim, pool, &self.families);
        let stored = self.snapshot.claims.get(&claim.reference);
        let Some(binding) = bindings.claims.get_mut(&claim.reference) else { return };
        for address in stored.into_iter().flat_map(|stored| &stored.value.1.addresses) {
            let asked = families.contains(&Family::of(*address));
            let wanted = asked && has_room(Some(claim), binding, *address);
            if wanted && allocators.take_named(pool, *address) {
                binding.new.insert(*address);
            }
        }
    }
}
