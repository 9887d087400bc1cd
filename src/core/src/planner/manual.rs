//! What a person writes at a prompt, as the leader would: so that it works while no controller runs.
//!
//! State: none. Always: a plan changes by one compare-and-swap of its own; a leader that runs plans
//! on from it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::conditions::unusable_interface;
use crate::membership::departure::{self, DrainReason};
use crate::model::{AddressEnd, AddressPlan, EgressAddress, NodeName, Snapshot, Timestamp};
use crate::placement::{EligibleGateways, Ineligible, UNSUPPORTED};

/// The plan with which `to` becomes the owner of `address` (`egret move`).
///
/// Whether a cloud takes the address there only a controller can tell, and a node that a cloud has yet to
/// make ready could not serve it: then the wish alone is written.
///
/// # Errors
/// Why `to` may not carry it, and what to do: the leader would move it away again, and forget the wish.
pub fn move_to(
    snapshot: &Snapshot,
    address: &EgressAddress,
    to: &NodeName,
) -> Result<AddressPlan, String> {
    let clouds = BTreeMap::new();
    let gateways = EligibleGateways::new(snapshot, &clouds);
    if let Some(why) = gateways.ineligible(&address.plan.pool, address.address, to) {
        return Err(refusal(snapshot, address, to, why));
    }
    let mut plan = address.plan.clone();
    plan.preferred_node = Some(to.clone());
    if plan.standbys.contains(to) && address.status.is_ready_at(to, plan.facts()) {
        promote(address, &mut plan, to);
    }
    Ok(plan)
}

fn refusal(snapshot: &Snapshot, address: &EgressAddress, to: &NodeName, why: Ineligible) -> String {
    let (ip, pool) = (address.address, &address.plan.pool);
    let why = match why {
        Ineligible::NotSelected if !snapshot.nodes.contains_key(to) => {
            "its Node is gone: name another".to_owned()
        }
        Ineligible::NotSelected => format!(
            "pool {pool} does not select it: give its Node the labels of the pool's spec.gateways.nodeSelector"
        ),
        Ineligible::NoAgent => {
            "its agent has not said where it listens: see that it runs (`egret status`)".to_owned()
        }
        Ineligible::Absent => {
            "it is absent: see that its agent runs, and that no taint says that it is off"
                .to_owned()
        }
        Ineligible::Drained | Ineligible::Cordoned => drained(snapshot, address, to),
        Ineligible::WrongSubnet => {
            format!("it has no uplink in the subnet of {ip}: name a node that has (`egret status`)")
        }
        Ineligible::UnsupportedDataplane => UNSUPPORTED.to_owned(),
        Ineligible::InterfaceUnusable => {
            let why = unusable_interface(snapshot, ip, to).unwrap_or("it says no more of it");
            format!("its network interface cannot carry it: {why}")
        }
    };
    format!("{ip} cannot move to {to}: {why}")
}

fn drained(snapshot: &Snapshot, address: &EgressAddress, to: &NodeName) -> String {
    let Some(why) = departure::drain_reason(snapshot, to) else {
        return "it is drained: end the drain first".to_owned();
    };
    let remedy = match why {
        DrainReason::ByHand => format!("`egret uncordon {to}` first"),
        DrainReason::Leaves(_) => {
            "wait until its Node says so no longer, or name another".to_owned()
        }
        DrainReason::HostStops => "wait until it has booted, or name another".to_owned(),
        DrainReason::Cordoned => match address.plan.owner.as_ref().filter(|owner| *owner != to) {
            Some(owner) => format!(
                "`kubectl uncordon {to}` first, or `egret drain {owner}` where all that counts is \
                 that {owner} gives it up"
            ),
            None => format!("`kubectl uncordon {to}` first"),
        },
    };
    format!("it {why}: {remedy}")
}

/// The plan with which `node` is no longer the owner of `address` (`egret drain`); `None` where it
/// is not, or where nobody else may be. The first standby follows that may carry it, or, where there is none,
/// the first that is only cordoned. Where a cloud has yet to make others ready the leader decides.
pub fn move_away(
    gateways: &EligibleGateways<'_>,
    address: &EgressAddress,
    node: &NodeName,
) -> Option<AddressPlan> {
    let mut plan = address.plan.clone();
    if plan.paused || plan.is_revoked() || plan.owner.as_ref() != Some(node) {
        return None;
    }
    let facts = plan.facts();
    let ready = plan.standbys.iter().filter(|node| address.status.is_ready_at(node, facts));
    let next = [None, Some(Ineligible::Cordoned)].into_iter().find_map(|why| {
        let mut ready = ready.clone();
        ready.find(|node| gateways.ineligible(&plan.pool, address.address, node) == why)
    });
    let next = next?.clone();
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

    /// As a person's command does it.
    fn drained_away(
        world: &Fixture,
        address: &EgressAddress,
        node: &NodeName,
    ) -> Option<AddressPlan> {
        let clouds = BTreeMap::new();
        move_away(&EligibleGateways::new(&world.snapshot, &clouds), address, node)
    }

    fn cordon(world: &mut Fixture, node: &NodeName) {
        world.snapshot.nodes.get_mut(node).unwrap().cordoned = true;
    }

    #[test]
    fn the_first_standby_follows_a_drained_owner() {
        let (world, address) = world();
        let owner = address.plan.owner.clone().unwrap();
        let plan = drained_away(&world, &address, &owner).unwrap();
        assert_eq!(plan.owner.as_ref(), address.plan.standbys.first());
        assert_eq!(plan.standbys.first(), Some(&owner));
        assert_eq!(plan.made_for, address.status.holding);
        assert_eq!(drained_away(&world, &address, &"d1".into()), None, "it owns nothing");
    }

    #[test]
    fn nobody_follows_a_drained_owner_who_may_not_carry_it() {
        let (mut world, address) = world();
        let owner = address.plan.owner.clone().unwrap();
        let standbys = address.plan.standbys.clone();
        let mac = "02:00:00:00:00:01".to_owned();
        let status = world.status(standbys[0].as_str());
        status.uplinks.iter_mut().for_each(|uplink| uplink.mac = Some(mac.clone()));
        status.unusable_interfaces.insert(mac, "it is down".to_owned());
        let next = |world: &Fixture| drained_away(world, &address, &owner)?.owner;
        assert_eq!(next(&world), Some(standbys[1].clone()));
        cordon(&mut world, &standbys[1]);
        assert_eq!(next(&world), Some(standbys[1].clone()), "nobody else may");
        world.spec(standbys[1].as_str()).drain = true;
        assert_eq!(next(&world), None, "it stays where it is served");
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
        assert_eq!(drained_away(&world, revoked, &owner), None);
    }

    #[test]
    fn a_move_to_a_stranger_is_a_wish() {
        let mut world = Fixture::small();
        world.node("g4", 6, true, "a");
        world.node("g5", 7, true, "b");
        world.claim(mk_claim("payments/bank", "partners"));
        world.settle();
        let address = world.address("192.0.2.100").clone();
        let last = address.plan.standbys.last().unwrap().clone();
        let plan = move_to(&world.snapshot, &address, &last).unwrap();
        assert_eq!((plan.owner, plan.preferred_node), (Some(last.clone()), Some(last)));
        let named: Vec<&NodeName> =
            address.plan.owner.iter().chain(&address.plan.standbys).collect();
        let all = ["g1", "g2", "g3", "g4", "g5"].map(NodeName::from);
        let stranger = all.into_iter().find(|node| !named.contains(&node)).unwrap();
        let plan = move_to(&world.snapshot, &address, &stranger).unwrap();
        assert_eq!((&plan.owner, plan.preferred_node), (&address.plan.owner, Some(stranger)));
    }

    /// Else it would go there and back, and the wish with it.
    #[test]
    fn a_move_that_the_leader_would_undo_is_refused() {
        let (mut world, address) = world();
        let (owner, to) = (address.plan.owner.clone().unwrap(), address.plan.standbys[0].clone());
        let refused = |world: &Fixture, to: &NodeName| {
            move_to(&world.snapshot, &address, to).expect_err("it moves")
        };
        cordon(&mut world, &to);
        assert_eq!(
            refused(&world, &to),
            format!(
                "192.0.2.100 cannot move to {to}: it is cordoned: `kubectl uncordon {to}` first, or \
                 `egret drain {owner}` where all that counts is that {owner} gives it up"
            )
        );
        world.snapshot.nodes.get_mut(&to).unwrap().cordoned = false;
        assert!(move_to(&world.snapshot, &address, &to).is_ok());
        world.spec(to.as_str()).drain = true;
        let why = refused(&world, &to);
        assert!(why.ends_with(&format!("it is drained: `egret uncordon {to}` first")), "{why}");
        world.spec(to.as_str()).drain = false;
        world.status(to.as_str()).stopping = true;
        assert!(refused(&world, &to).contains("is being shut down"));
        world.status(to.as_str()).stopping = false;
        world.absent(&[to.as_str()]);
        assert!(refused(&world, &to).contains("it is absent"));
        world.absent(&[]);
        assert!(refused(&world, &"d1".into()).contains("pool partners does not select it"));
        assert!(refused(&world, &"nobody".into()).contains("its Node is gone"));
        world.status(to.as_str()).uplinks.clear();
        assert!(refused(&world, &to).contains("no uplink in the subnet of 192.0.2.100"));
        world.status(to.as_str()).endpoints.clear();
        assert!(refused(&world, &to).contains("its agent has not said"));
    }

    #[test]
    fn nothing_moves_to_a_gateway_that_a_cloud_has_yet_to_make_ready() {
        let (world, mut address) = world();
        address.plan.provider = ProviderKind::Gcp;
        let (owner, standbys) =
            (address.plan.owner.clone().unwrap(), address.plan.standbys.clone());
        assert_eq!(drained_away(&world, &address, &owner), None, "the leader waits for one");
        let plan = move_to(&world.snapshot, &address, &standbys[1]).unwrap();
        assert_eq!(
            (plan.owner, plan.preferred_node),
            (Some(owner.clone()), Some(standbys[1].clone()))
        );
        address.status.prepared = vec![Attachment::at(standbys[1].clone())];
        let drained = drained_away(&world, &address, &owner).unwrap();
        assert_eq!(drained.owner, Some(standbys[1].clone()));
        let moved = move_to(&world.snapshot, &address, &standbys[1]).unwrap();
        assert_eq!(moved.owner, Some(standbys[1].clone()));
    }

    #[test]
    fn a_release_raises_the_fence() {
        let (world, address) = world();
        let plan = revoke(&address.plan, 99, world.now);
        assert_eq!((plan.fence, plan.end), (99, Some(AddressEnd::Revoked { since: world.now })));
    }
}
