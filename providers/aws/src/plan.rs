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
use crate::place::{PlacementInputs, Target, Unplaceable, elastic_attachment, private_attachment};
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
    let targets = scene.targets(node).and_then(|targets| scene.fitting(address, &targets));
    let targets = match targets {
        Ok(fitting) => fitting,
        Err(refusal) => return refusal.into(),
    };
    match address {
        IpAddr::V4(public) => match scene.view.elastic.get(&public) {
            Some(elastic) => attach_elastic(scene, (public, elastic), node, &targets),
            None => attach_private(scene, public, node, &targets),
        },
        IpAddr::V6(address) => attach_ipv6(scene, address, node, &targets),
    }
}

/// Why `address` cannot come to a node although that has room for `free` more: the interfaces that `fit` it
/// have none, and it is at none of them.
pub(crate) fn crowded(
    scene: &PlacementInputs<'_>,
    address: IpAddr,
    fit: &[Target<'_>],
    free: u32,
) -> Option<Unplaceable> {
    let mapped = match address {
        IpAddr::V4(public) => scene.view.elastic.get(&public),
        IpAddr::V6(_) => None,
    };
    // An Elastic IP can have another wire address on any interface.
    if free == 0 || mapped.is_some() {
        return None;
    }
    let holder = scene.view.holder(address).map(|(id, _)| id);
    choose(scene, holder, fit, address.is_ipv4()).err()
}

/// Where an address of these goes: it stays where it is, and else to the first one with room.
fn choose<'a>(
    scene: &PlacementInputs<'_>,
    holder: Option<&String>,
    targets: &[Target<'a>],
    v4: bool,
) -> Result<&'a String, Unplaceable> {
    let here = targets.iter().find(|(id, _)| Some(*id) == holder);
    let chosen = here.or_else(|| targets.iter().find(|(id, _)| scene.room(id, v4) > 0));
    chosen.map(|(id, _)| *id).ok_or_else(|| no_room(targets))
}

fn attach_private(
    scene: &PlacementInputs<'_>,
    address: Ipv4Addr,
    node: &NodeName,
    targets: &[Target<'_>],
) -> Step<Attachment> {
    let doubted = scene.doubts.contains_key(&address.into());
    let holder = scene.view.holder(address.into());
    if let Some(refusal) =
        holder.and_then(|(at, it)| foreign(scene, at, it, address.into(), targets))
    {
        return refusal.into();
    }
    let id = match choose(scene, holder.map(|(at, _)| at), targets, true) {
        Ok(id) => id,
        Err(refusal) => return refusal.into(),
    };
    if holder.is_some_and(|(at, _)| at == id) && !doubted {
        return Step::Done(private_attachment(node.clone(), id));
    }
    // Refused unless nobody has it, except where a node is known to have it, or may by an earlier
    // call of ours: so an address that somebody else uses is not taken away.
    let take = holder.is_some() || doubted;
    Step::Call(Ec2Call::AssignPrivate { interface: id.into(), addresses: [address].into(), take })
}

fn attach_ipv6(
    scene: &PlacementInputs<'_>,
    address: Ipv6Addr,
    node: &NodeName,
    targets: &[Target<'_>],
) -> Step<Attachment> {
    let doubted = scene.doubts.contains_key(&address.into());
    let holder = scene.view.holder(address.into());
    if let Some(refusal) =
        holder.and_then(|(at, it)| foreign(scene, at, it, address.into(), targets))
    {
        return refusal.into();
    }
    let id = match choose(scene, holder.map(|(at, _)| at), targets, false) {
        Ok(id) => id,
        Err(refusal) => return refusal.into(),
    };
    match holder {
        Some((at, _)) if at == id && !doubted => Step::Done(private_attachment(node.clone(), id)),
        // There is no reassignment of IPv6 addresses.
        Some((at, _)) if at != id => {
            Step::Call(Ec2Call::UnassignIpv6 { interface: at.clone(), address })
        }
        _ => Step::Call(Ec2Call::AssignIpv6 { interface: id.into(), address }),
    }
}

fn attach_elastic(
    scene: &PlacementInputs<'_>,
    (public, elastic): (Ipv4Addr, &Elastic),
    node: &NodeName,
    targets: &[Target<'_>],
) -> Step<Attachment> {
    let association = elastic.association.as_ref();
    let route = Route::of(scene, public, association);
    if let Some(at) = association {
        let here = targets.iter().find(|(_, target)| is_secondary(target, at.private));
        if let Some((id, _)) = here
            && route.certain
        {
            if at.interface == **id {
                let id = id.as_str();
                let attached =
                    elastic_attachment(node.clone(), at.private, id, &elastic.allocation);
                return Step::Done(attached);
            }
            // The private address has arrived, and its Elastic IP follows by itself.
            return Step::Wait(Some(associate((public, elastic), id, at.private, true)));
        }
        if !scene.is_ours(&at.interface) && route.certain {
            return elsewhere(&at.interface).into();
        }
    }
    let to = |id: &str, wire| Step::Call(associate((public, elastic), id, wire, route.certain));
    let mapped = association.filter(|at| !scene.doubts.contains_key(&at.private.into()));
    let mapped = mapped.and_then(|at| {
        let there =
            |(id, target): &&Target<'_>| at.interface == **id && is_secondary(target, at.private);
        targets.iter().find(there).map(|(id, _)| (*id, at.private))
    });
    if let Some((id, wire)) = mapped {
        return to(id, wire);
    }
    if let Some((id, address)) = route.target(scene, targets) {
        let (interface, addresses) = (id.to_owned(), [address].into());
        return Step::Call(Ec2Call::AssignPrivate { interface, addresses, take: true });
    }
    if let Some((id, wire)) = ready_wire(scene, public, node, targets) {
        return to(id, wire);
    }
    match choose(scene, None, targets, true) {
        Ok(id) => Step::Call(Ec2Call::AssignAny { interface: id.into(), wanted: [public].into() }),
        Err(refusal) => refusal.into(),
    }
}

/// A secondary address of a node that waits for an Elastic IP: its own on any interface, else a spare one.
fn ready_wire<'a>(
    scene: &PlacementInputs<'_>,
    public: Ipv4Addr,
    node: &NodeName,
    targets: &[Target<'a>],
) -> Option<(&'a String, Ipv4Addr)> {
    let found = targets.iter().map(|(id, target)| {
        let (own, mut spare) = wires::at(scene, &[public].into(), node, target);
        if scene.in_flight.contains(*id) {
            // It may be what another call is about to get.
            spare.clear();
        }
        (*id, own.get(&public).copied(), spare.first().copied())
    });
    let found: Vec<_> = found.collect();
    let own = found.iter().find_map(|(id, own, _)| Some((*id, (*own)?)));
    own.or_else(|| found.iter().find_map(|(id, _, spare)| Some((*id, (*spare)?))))
}

/// How an Elastic IP can get to another interface.
struct Route {
    /// Where it is seen is where it is.
    certain: bool,
    /// The private address that takes it along, within this subnet.
    moves: Option<(Ipv4Addr, String)>,
}

impl Route {
    fn of(
        scene: &PlacementInputs<'_>,
        public: Ipv4Addr,
        association: Option<&Association>,
    ) -> Self {
        let mapped = !scene.doubts.contains_key(&public.into());
        let Some(at) = association else { return Self { certain: mapped, moves: None } };
        let doubt = scene.doubts.get(&at.private.into());
        // Given back or not: it may be anybody's by now.
        let kept = mapped && doubt != Some(&Doubt::Gone);
        let from = scene.view.interfaces.values().find(|it| is_secondary(it, at.private));
        let moves = from.filter(|_| kept).map(|from| (at.private, from.subnet.clone()));
        Self { certain: kept && doubt.is_none(), moves }
    }

    /// The interface that the private address can go to, or is at already.
    fn target<'a>(
        &self,
        scene: &PlacementInputs<'_>,
        targets: &[Target<'a>],
    ) -> Option<(&'a String, Ipv4Addr)> {
        let (address, subnet) = self.moves.as_ref()?;
        let near = || targets.iter().filter(|(_, target)| target.subnet == *subnet);
        let here = near().find(|(_, target)| is_secondary(target, *address));
        let chosen = here.or_else(|| near().find(|(id, _)| scene.room(id, true) > 0));
        chosen.map(|(id, _)| (*id, *address))
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
    at: &String,
    interface: &Interface,
    address: IpAddr,
    targets: &[Target<'_>],
) -> Option<Unplaceable> {
    if !targets.iter().any(|(id, _)| *id == at) && !scene.is_ours(at) {
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

fn no_room(targets: &[Target<'_>]) -> Unplaceable {
    let ids: Vec<_> = targets.iter().map(|(id, _)| id.as_str()).collect();
    let (noun, verb) = if ids.len() == 1 { ("interface", "has") } else { ("interfaces", "have") };
    let full = format!(
        "{noun} {} {verb} no room for another address: attach another interface with Egret's tags, \
         use a larger instance type, more gateways, or fewer delegated prefixes there",
        ids.join(", ")
    );
    Unplaceable::new(ErrorClass::Quota, full)
}

#[cfg(test)]
mod tests;
