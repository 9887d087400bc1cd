//! What claims had before Egret was removed: their `EgressAddress`es are gone, their statuses were kept.

use super::allocator::Allocators;
use super::{Binder, Bindings, has_room, wanted_families};
use crate::model::{Claim, Family};

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
