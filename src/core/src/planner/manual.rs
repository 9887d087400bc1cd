//! What a person writes at a prompt, as the leader would: so that it works while no controller runs.
//!
//! State: none. Always: a plan changes by one compare-and-swap of its own; a leader that runs plans
//! on from it.

use std::net::IpAddr;

use crate::model::{AddressEnd, AddressPlan, EgressAddress, NodeName, Snapshot, Timestamp};

/// The plan with which `to` becomes the owner of `address` (`egret move`).
///
/// A node that the plan does not name yet may be unable to carry the address, which only a
/// controller can tell, and one that a cloud has yet to make ready could not serve it: then the wish
/// alone is written.
pub fn move_to(address: &EgressAddress, to: &NodeName) -> AddressPlan {
    let mut plan = address.plan.clone();
    plan.preferred_node = Some(to.clone());
    if plan.standbys.contains(to) && address.status.is_ready_at(to, plan.facts()) {
        promote(address, &mut plan, to);
    }
    plan
}

/// The plan with which `node` is no longer the owner of `address` (`egret drain`); `None` where it
/// is not, or where nobody else may be. Where a cloud has yet to make others ready the leader decides.
pub fn move_away(address: &EgressAddress, node: &NodeName) -> Option<AddressPlan> {
    let mut plan = address.plan.clone();
    if plan.paused || plan.is_revoked() || plan.owner.as_ref() != Some(node) {
        return None;
    }
    let facts = plan.facts();
    let next = plan.standbys.iter().find(|node| address.status.is_ready_at(node, facts))?.clone();
    promote(address, &mut plan, &next);
    Some(plan)
}

/// The addresses that `node` holds, by their statuses. One that is revoked is nobody's any more,
/// whatever its status still says.
pub fn held_by(snapshot: &Snapshot, node: &NodeName) -> Vec<IpAddr> {
    let holds = |address: &EgressAddress| {
        let holding = address.status.holding.as_ref();
        !address.plan.is_revoked() && holding.is_some_and(|holding| holding.node == *node)
    };
    let addresses = snapshot.addresses.iter();
    addresses.filter(|(_, stored)| holds(&stored.value)).map(|(address, _)| *address).collect()
}

/// The plan that ends an address at once (`egret release`); `fence` is newly drawn.
pub fn revoke(plan: &AddressPlan, fence: u64, now: Timestamp) -> AddressPlan {
    let mut plan = plan.clone();
    plan.end = Some(AddressEnd::Revoked { since: now });
    plan.fence = fence;
    plan
}

/// A holder obeys only a plan that was made for itself and its present epoch (docs/design.md,
/// decision 7).
fn promote(address: &EgressAddress, plan: &mut AddressPlan, to: &NodeName) {
    let old = plan.owner.replace(to.clone());
    plan.standbys.retain(|node| node != to);
    if let Some(old) = old.filter(|old| old != to) {
        plan.standbys.insert(0, old);
    }
    plan.made_for.clone_from(&address.status.holding);
}

#[cfg(test)]
mod tests {
    use crate::model::{Attachment, ProviderKind};
    use crate::testing::*;

    use super::*;

    fn world() -> (Fixture, EgressAddress) {
        let mut world = Fixture::small();
        world.claim(mk_claim("payments/bank", "partners"));
        world.settle();
        let address = world.address("192.0.2.100").clone();
        (world, address)
    }

    #[test]
    fn the_first_standby_follows_a_drained_owner() {
        let (_, address) = world();
        let owner = address.plan.owner.clone().unwrap();
        let plan = move_away(&address, &owner).unwrap();
        assert_eq!(plan.owner.as_ref(), address.plan.standbys.first());
        assert_eq!(plan.standbys.first(), Some(&owner));
        assert_eq!(plan.made_for, address.status.holding);
        assert_eq!(move_away(&address, &"d1".into()), None, "it owns nothing");
    }

    #[test]
    fn a_revoked_address_keeps_no_node_from_being_drained() {
        let (mut world, address) = world();
        let owner = address.plan.owner.clone().unwrap();
        world.hold(address.address, owner.as_str(), 1);
        assert_eq!(held_by(&world.snapshot, &owner), [address.address]);
        let stored = world.snapshot.addresses.get_mut(&address.address).unwrap();
        stored.value.plan = revoke(&address.plan, 99, world.now);
        assert!(held_by(&world.snapshot, &owner).is_empty());
        let revoked = world.address("192.0.2.100");
        assert_eq!(move_away(revoked, &owner), None);
    }

    #[test]
    fn a_move_to_a_stranger_is_a_wish() {
        let (_, address) = world();
        let last = address.plan.standbys.last().unwrap().clone();
        let plan = move_to(&address, &last);
        assert_eq!((plan.owner, plan.preferred_node), (Some(last.clone()), Some(last)));
        let plan = move_to(&address, &"d1".into());
        assert_eq!((&plan.owner, plan.preferred_node), (&address.plan.owner, Some("d1".into())));
    }

    #[test]
    fn nothing_moves_to_a_gateway_that_a_cloud_has_yet_to_make_ready() {
        let (_, mut address) = world();
        address.plan.provider = ProviderKind::Gcp;
        let (owner, standbys) =
            (address.plan.owner.clone().unwrap(), address.plan.standbys.clone());
        assert_eq!(move_away(&address, &owner), None, "the leader waits for one");
        let plan = move_to(&address, &standbys[1]);
        assert_eq!(
            (plan.owner, plan.preferred_node),
            (Some(owner.clone()), Some(standbys[1].clone()))
        );
        address.status.prepared = vec![Attachment::at(standbys[1].clone())];
        assert_eq!(move_away(&address, &owner).unwrap().owner, Some(standbys[1].clone()));
        assert_eq!(move_to(&address, &standbys[1]).owner, Some(standbys[1].clone()));
    }

    #[test]
    fn a_release_raises_the_fence() {
        let (world, address) = world();
        let plan = revoke(&address.plan, 99, world.now);
        assert_eq!((plan.fence, plan.end), (99, Some(AddressEnd::Revoked { since: world.now })));
    }
}
