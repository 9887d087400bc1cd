//! Addresses that a pool chose and that somebody else has: another one is taken instead, a few times.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::{ClaimRef, ConditionType, EgressAddress, PoolName, Snapshot};

/// So many addresses are tried for a claim: a router that answers for every address of its subnet
/// would use up the pool.
const TRIES: usize = 3;

/// Why such an address is given back.
pub(super) const GIVEN_BACK: &str = "another host was found to have it before it was ever held";

/// Whether the pool chose the address, nobody has held it yet, and another host, or a node's interface,
/// has it.
pub(super) fn is_contested(snapshot: &Snapshot, address: &EgressAddress) -> bool {
    let claim = snapshot.claims.get(&address.plan.claim).map(|stored| &stored.value.0);
    let chosen = claim.is_some_and(|claim| claim.addresses.is_empty());
    let conflict =
        |known: &crate::model::Condition| known.kind == ConditionType::Conflict && known.status;
    chosen && address.is_unused() && address.status.conditions.iter().any(conflict)
}

/// What a pool's status should say of addresses that it chose in vain, by claim. Forgotten with the
/// claim, or once the address was held after all.
pub(crate) fn taken_elsewhere(
    snapshot: &Snapshot,
    pool: &PoolName,
) -> BTreeMap<ClaimRef, BTreeSet<IpAddr>> {
    let written = snapshot.pools.get(pool).map(|stored| stored.value.1.taken_elsewhere.clone());
    let mut taken = written.unwrap_or_default();
    for (address, stored) in &snapshot.addresses {
        let plan = &stored.value.plan;
        if plan.pool == *pool && is_contested(snapshot, &stored.value) {
            taken.entry(plan.claim.clone()).or_default().insert(*address);
        }
    }
    let was_held = |address: &IpAddr| {
        snapshot.addresses.get(address).is_some_and(|stored| stored.value.status.was_held)
    };
    for addresses in taken.values_mut() {
        addresses.retain(|address| !was_held(address));
    }
    taken.retain(|claim, addresses| snapshot.claims.contains_key(claim) && !addresses.is_empty());
    taken
}

/// Which of these, all of one claim, another one may be taken for.
pub(super) fn replaceable(snapshot: &Snapshot, bound: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    let may = |address: &&IpAddr| {
        let stored = snapshot.addresses.get(address);
        stored.is_some_and(|stored| {
            is_contested(snapshot, &stored.value) && tried(snapshot, &stored.value) < TRIES
        })
    };
    bound.iter().filter(may).copied().collect()
}

/// How many addresses were tried for the claim of this one.
fn tried(snapshot: &Snapshot, address: &EgressAddress) -> usize {
    let plan = &address.plan;
    taken_elsewhere(snapshot, &plan.pool).get(&plan.claim).map_or(0, BTreeSet::len)
}

/// What to do where no other address is tried any more.
pub(crate) fn advice(snapshot: &Snapshot, address: IpAddr) -> Option<String> {
    let stored = &snapshot.addresses.get(&address)?.value;
    let tried = tried(snapshot, stored);
    (is_contested(snapshot, stored) && tried >= TRIES).then(|| {
        format!(
            "{tried} addresses that pool {} chose were taken, and no other is tried: where a router or \
             host of that subnet answers for every address (proxy ARP), turn that off; else find out \
             whose they are, and name a free one in spec.addresses",
            stored.plan.pool
        )
    })
}
