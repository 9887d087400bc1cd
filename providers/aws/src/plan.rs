//! What to do next: pure functions of what was observed and what is wanted.
//!
//! Each says one step. Whoever carries it out reads again and asks again: so every prefix can be
//! gone on from, by another process too.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use egret_core::model::{Attachment, NodeName};
use egret_ports::error::ErrorClass;

use crate::call::Ec2Call;
use crate::journal::Doubt;
use crate::place::{PlacementInputs, Unplaceable, elastic_attachment, private_attachment};
use crate::snapshot::{Association, Elastic, Interface};

mod prepare;
mod wires;

pub(crate) use prepare::{Ready, prepare};

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step<T> {
    /// It is so.
    Done(T),
    /// Make this call.
    Call(Ec2Call),
    /// EC2 is about to do it, or has done it and does not show it yet: read again. Where that does
    /// not come: the call.
    Wait(Option<Ec2Call>),
    /// It cannot be.
    Refuse(Unplaceable),
}

impl<T> Step<T> {
    /// What is so, otherwise said.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Self::Done(done) => Step::Done(change(done)),
            Self::Call(call) => Step::Call(call),
            Self::Wait(call) => Step::Wait(call),
            Self::Refuse(refusal) => Step::Refuse(refusal),
        }
    }
}

impl<T> From<Unplaceable> for Step<T> {
    fn from(refusal: Unplaceable) -> Self {
        Self::Refuse(refusal)
    }
}

/// `address` at `node`.
pub(crate) fn attach(
    scene: &PlacementInputs<'_>,
    address: IpAddr,
    node: &NodeName,
) -> Step<Attachment> {
    let (id, target) = match scene.target(node) {
        Ok(found) => found,
        Err(refusal) => return refusal.into(),
    };
    if let Err(refusal) = scene.fits(address, id, target) {
        return refusal.into();
    }
    match address {
        IpAddr::V4(public) => match scene.view.elastic.get(&public) {
            Some(elastic) => attach_elastic(scene, (public, elastic), node, (id, target)),
            None => attach_private(scene, public, node, id),
        },
        IpAddr::V6(address) => attach_ipv6(scene, address, node, id),
    }
}

fn attach_private(
    scene: &PlacementInputs<'_>,
    address: Ipv4Addr,
    node: &NodeName,
    id: &str,
) -> Step<Attachment> {
    let doubted = scene.doubts.contains_key(&address.into());
    let holder = scene.view.holder(address.into());
    if let Some(refusal) = holder.and_then(|(at, it)| foreign(scene, at, it, address.into(), id)) {
        return refusal.into();
    }
    match holder {
        Some((at, _)) if at == id && !doubted => {
            return Step::Done(private_attachment(node.clone(), id));
        }
        Some((at, _)) if at == id => {}
        _ if scene.room(id, true) == 0 => return no_room(id).into(),
        _ => {}
    }
    // Refused unless nobody has it, except where a node is known to have it, or may by an earlier
    // call of ours: so an address that somebody else uses is not taken away.
    let take = holder.is_some() || doubted;
    Step::Call(Ec2Call::AssignPrivate { interface: id.into(), address, take })
}

fn attach_ipv6(
    scene: &PlacementInputs<'_>,
    address: Ipv6Addr,
    node: &NodeName,
    id: &str,
) -> Step<Attachment> {
    let doubted = scene.doubts.contains_key(&address.into());
    let holder = scene.view.holder(address.into());
    if let Some(refusal) = holder.and_then(|(at, it)| foreign(scene, at, it, address.into(), id)) {
        return refusal.into();
    }
    match holder {
        Some((at, _)) if at == id && !doubted => Step::Done(private_attachment(node.clone(), id)),
        // There is no reassignment of IPv6 addresses.
        Some((at, _)) if at != id => {
            if scene.room(id, false) == 0 {
                return no_room(id).into();
            }
            Step::Call(Ec2Call::UnassignIpv6 { interface: at.clone(), address })
        }
        None if scene.room(id, false) == 0 => no_room(id).into(),
        _ => Step::Call(Ec2Call::AssignIpv6 { interface: id.into(), address }),
    }
}

fn attach_elastic(
    scene: &PlacementInputs<'_>,
    (public, elastic): (Ipv4Addr, &Elastic),
    node: &NodeName,
    (id, target): (&str, &Interface),
) -> Step<Attachment> {
    let association = elastic.association.as_ref();
    let route = Route::of(scene, public, association, target);
    if let Some(at) = association {
        if at.interface == id && is_secondary(target, at.private) && route.certain {
            let attached = elastic_attachment(node.clone(), at.private, id, &elastic.allocation);
            return Step::Done(attached);
        }
        let moving = is_secondary(target, at.private) && at.interface != id;
        if moving && route.certain {
            // The private address has arrived, and its Elastic IP follows by itself.
            return Step::Wait(Some(associate((public, elastic), id, at.private, true)));
        }
        if !scene.is_ours(&at.interface) && route.certain {
            return elsewhere(&at.interface).into();
        }
    }
    let (own, mut spare) = wires::at(scene, &[public].into(), node, target);
    if scene.in_flight.contains(id) {
        // It may be what another call is about to get.
        spare.clear();
    }
    let here = route.moves.is_some_and(|address| is_secondary(target, address));
    let room = scene.room(id, true) > 0 || here;
    let to = |wire| Step::Call(associate((public, elastic), id, wire, route.certain));
    let mapped = association.filter(|at| at.interface == id && is_secondary(target, at.private));
    let mapped = mapped.map(|at| at.private);
    let mapped = mapped.filter(|wire| !scene.doubts.contains_key(&(*wire).into()));
    match (mapped, route.moves, own.get(&public).or(spare.first())) {
        (Some(wire), _, _) => to(wire),
        (None, Some(address), _) if room => {
            Step::Call(Ec2Call::AssignPrivate { interface: id.into(), address, take: true })
        }
        (None, _, Some(wire)) => to(*wire),
        _ if room => {
            Step::Call(Ec2Call::AssignAny { interface: id.into(), wanted: [public].into() })
        }
        _ => no_room(id).into(),
    }
}

/// How an Elastic IP can get to an interface.
struct Route {
    /// Where it is seen is where it is.
    certain: bool,
    /// The private address that takes it along: it is in the interface's subnet.
    moves: Option<Ipv4Addr>,
}

impl Route {
    fn of(
        scene: &PlacementInputs<'_>,
        public: Ipv4Addr,
        association: Option<&Association>,
        target: &Interface,
    ) -> Self {
        let mapped = !scene.doubts.contains_key(&public.into());
        let Some(at) = association else { return Self { certain: mapped, moves: None } };
        let doubt = scene.doubts.get(&at.private.into());
        // Given back or not: it may be anybody's by now.
        let kept = mapped && doubt != Some(&Doubt::Gone);
        let from = scene.view.interfaces.values().find(|it| is_secondary(it, at.private));
        let same_subnet = from.is_some_and(|from| from.subnet == target.subnet);
        let moves = (kept && same_subnet).then_some(at.private);
        Self { certain: kept && doubt.is_none(), moves }
    }
}

/// Taken only from where it was seen, which is a node of ours, or where an earlier call of ours may
/// have put it.
fn associate(
    (public, elastic): (Ipv4Addr, &Elastic),
    interface: &str,
    private: Ipv4Addr,
    certain: bool,
) -> Ec2Call {
    let take = elastic.association.is_some() || !certain;
    let (allocation, interface) = (elastic.allocation.clone(), interface.into());
    Ec2Call::Associate { public, allocation, interface, private, take }
}

/// `address` not at `node`.
pub(crate) fn detach(scene: &PlacementInputs<'_>, address: IpAddr, node: &NodeName) -> Step<()> {
    let interfaces = interfaces_of(scene, address, node);
    if let IpAddr::V4(public) = address
        && let Some(elastic) = scene.view.elastic.get(&public)
    {
        return detach_elastic(scene, (public, elastic), node, &interfaces);
    }
    let doubted = scene.doubts.contains_key(&address);
    let holder = scene.view.holder(address).filter(|(id, _)| interfaces.contains(*id));
    match (holder, address) {
        (Some((id, interface)), _) if interface.is_primary_address(address) => {
            Unplaceable::new(ErrorClass::Invalid, format!("it is the primary address of {id}"))
                .into()
        }
        (Some((id, _)), IpAddr::V4(address)) => Step::Call(Ec2Call::UnassignPrivate {
            interface: id.clone(),
            addresses: [address].into(),
        }),
        (Some((id, _)), IpAddr::V6(address)) => {
            Step::Call(Ec2Call::UnassignIpv6 { interface: id.clone(), address })
        }
        (None, _) if doubted => Step::Wait(None),
        (None, _) => Step::Done(()),
    }
}

fn detach_elastic(
    scene: &PlacementInputs<'_>,
    (public, elastic): (Ipv4Addr, &Elastic),
    node: &NodeName,
    interfaces: &BTreeSet<String>,
) -> Step<()> {
    if let Some(at) = &elastic.association
        && interfaces.contains(&at.interface)
    {
        // The id is this association's alone: an Elastic IP that has moved on stays there.
        return Step::Call(Ec2Call::Disassociate { public, association: at.id.clone() });
    }
    if scene.doubts.contains_key(&public.into()) {
        return Step::Wait(None);
    }
    for id in interfaces {
        let Some(interface) = scene.view.interfaces.get(id) else { continue };
        let idle: BTreeSet<_> = interface.idle().collect();
        let addresses: BTreeSet<_> = wires::of(scene, public.into(), node).into_iter().collect();
        let addresses: BTreeSet<_> = addresses.intersection(&idle).copied().collect();
        if !addresses.is_empty() {
            return Step::Call(Ec2Call::UnassignPrivate { interface: id.clone(), addresses });
        }
    }
    Step::Done(())
}

/// All interfaces of a node, living or of the status.
fn interfaces_of(
    scene: &PlacementInputs<'_>,
    address: IpAddr,
    node: &NodeName,
) -> BTreeSet<String> {
    let living = scene.view.interfaces.keys();
    let living = living.filter(|id| scene.node_of(id).as_ref() == Some(node)).cloned();
    let recorded = scene.inventory.addresses.get(&address).and_then(|at| at.get(node));
    let recorded = recorded.and_then(|attachment| attachment.interface.clone());
    // Nodes are told from each other by what EC2 says where it says it.
    let recorded = recorded.filter(|id| scene.node_of(id).is_none_or(|owner| owner == *node));
    living.chain(recorded).collect()
}

fn is_secondary(interface: &Interface, address: Ipv4Addr) -> bool {
    interface.v4.get(&address).is_some_and(|private| !private.primary)
}

/// What must not be taken from where it is.
fn foreign(
    scene: &PlacementInputs<'_>,
    at: &str,
    interface: &Interface,
    address: IpAddr,
    target: &str,
) -> Option<Unplaceable> {
    if at != target && !scene.is_ours(at) {
        return Some(elsewhere(at));
    }
    interface.is_primary_address(address).then(|| {
        let wrong = format!(
            "it is the primary address of interface {at}, which cannot be moved: take it out of \
             the pool"
        );
        Unplaceable::new(ErrorClass::Invalid, wrong)
    })
}

fn elsewhere(interface: &str) -> Unplaceable {
    let held = format!(
        "interface {interface} has it, which belongs to no node of this cluster: take it away \
         there, or take the address out of the pool"
    );
    Unplaceable::new(ErrorClass::Conflict, held)
}

fn no_room(interface: &str) -> Unplaceable {
    let full = format!(
        "interface {interface} has no room for another address: use a larger instance type, more \
         gateways, or fewer delegated prefixes there"
    );
    Unplaceable::new(ErrorClass::Quota, full)
}

#[cfg(test)]
mod tests;
