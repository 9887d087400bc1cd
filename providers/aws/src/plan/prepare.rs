//! A node ready for its addresses: a wire address for each Elastic IP that brings none along.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use egret_core::model::{Attachment, NodeName};

use super::{Route, Step, is_secondary, no_room, wires};
use crate::call::Ec2Call;
use crate::place::{PlacementInputs, Target, Unplaceable, elastic_attachment, private_attachment};

/// What `prepare` made of each address.
pub(crate) type Ready = BTreeMap<IpAddr, Result<Attachment, Unplaceable>>;

/// `node` ready for exactly `addresses`.
pub(crate) fn prepare(
    scene: &PlacementInputs<'_>,
    node: &NodeName,
    addresses: &BTreeSet<IpAddr>,
) -> Step<Ready> {
    let targets = match scene.targets(node) {
        Ok(found) => found,
        Err(refusal) => return refusal.into(),
    };
    if targets.iter().any(|(id, _)| scene.pending.contains(*id)) {
        // What is about to appear there is somebody's, or is left over.
        return Step::Wait(None);
    }
    let mut room = Room::of(scene, &targets);
    let mut ready = Ready::new();
    let mut warm = BTreeSet::new();
    for address in addresses {
        let fitting = match scene.fitting(*address, &targets) {
            Ok(fitting) => fitting,
            Err(refusal) => {
                ready.insert(*address, Err(refusal));
                continue;
            }
        };
        let (id, wire) = match address {
            IpAddr::V4(public) if scene.view.elastic.contains_key(public) => {
                let Some((id, wire)) = carried(scene, *public, &fitting, &mut room) else {
                    warm.insert(*public);
                    continue;
                };
                (id, Some(wire))
            }
            _ => {
                let Some(id) = likely(scene, *address, &fitting, &mut room) else {
                    ready.insert(*address, Err(no_room(&fitting)));
                    continue;
                };
                (id, None)
            }
        };
        ready.insert(*address, Ok(ready_at(scene, *address, wire, node, id)));
    }
    let kept = match keep(scene, node, &targets, &warm, &mut room) {
        Ok(kept) => kept,
        Err(call) => return Step::Call(call),
    };
    for public in warm {
        let ready_there = kept.get(&public).ok_or_else(|| no_room(&targets));
        let address = public.into();
        let attachment =
            ready_there.map(|(id, wire)| ready_at(scene, address, Some(*wire), node, id));
        ready.insert(address, attachment);
    }
    Step::Done(ready)
}

/// What each interface of a node can still take, while addresses are thought to be there.
struct Room<'a>(BTreeMap<&'a str, u32>);

impl<'a> Room<'a> {
    fn of(scene: &PlacementInputs<'_>, targets: &[Target<'a>]) -> Self {
        Self(targets.iter().map(|(id, _)| (id.as_str(), scene.room(id, true))).collect())
    }

    fn is_left(&self, id: &str) -> bool {
        self.0.get(id).is_some_and(|room| *room > 0)
    }

    fn take(&mut self, id: &str) {
        if let Some(room) = self.0.get_mut(id) {
            *room = room.saturating_sub(1);
        }
    }
}

/// The wire address that an Elastic IP has already, or brings along from its subnet, with its interface.
fn carried<'a>(
    scene: &PlacementInputs<'_>,
    public: Ipv4Addr,
    targets: &[Target<'a>],
    room: &mut Room<'_>,
) -> Option<(&'a String, Ipv4Addr)> {
    let elastic = scene.view.elastic.get(&public)?;
    let at = elastic.association.as_ref()?;
    let here = |(id, it): &&Target<'_>| at.interface == **id && is_secondary(it, at.private);
    if let Some((id, _)) = targets.iter().find(here) {
        return Some((*id, at.private));
    }
    let (address, subnet) = Route::of(scene, public, Some(at)).moves?;
    let near = |(id, it): &&Target<'_>| it.subnet == subnet && room.is_left(id);
    let (id, _) = *targets.iter().find(near)?;
    room.take(id);
    Some((id, address))
}

/// Where a private address would go; `None` where no interface has room for it.
fn likely<'a>(
    scene: &PlacementInputs<'_>,
    address: IpAddr,
    fitting: &[Target<'a>],
    room: &mut Room<'_>,
) -> Option<&'a String> {
    let holder = scene.view.holder(address).map(|(id, _)| id);
    let here = fitting.iter().find(|(id, _)| Some(*id) == holder);
    if here.is_none() && address.is_ipv4() {
        let (id, _) = fitting.iter().find(|(id, _)| room.is_left(id))?;
        room.take(id);
        return Some(*id);
    }
    here.or_else(|| fitting.iter().find(|(id, _)| scene.room(id, false) > 0)).map(|(id, _)| *id)
}

/// The wire addresses that wait for `warm`, by Elastic IP, with their interfaces; or the call that
/// assigns what is missing, or that takes away what is too much.
fn keep<'a>(
    scene: &PlacementInputs<'_>,
    node: &NodeName,
    targets: &[Target<'a>],
    warm: &BTreeSet<Ipv4Addr>,
    room: &mut Room<'_>,
) -> Result<BTreeMap<Ipv4Addr, (&'a String, Ipv4Addr)>, Ec2Call> {
    let mut kept = BTreeMap::new();
    let mut spares = Vec::new();
    for (id, target) in targets {
        let (own, spare) = wires::at(scene, warm, node, target);
        for (public, wire) in own {
            kept.entry(public).or_insert((*id, wire));
        }
        spares.push((*id, *target, spare));
    }
    let unkept = |kept: &BTreeMap<Ipv4Addr, _>| -> BTreeSet<Ipv4Addr> {
        warm.iter().filter(|public| !kept.contains_key(*public)).copied().collect()
    };
    for public in unkept(&kept) {
        let unused = spares.iter_mut().find_map(|(id, _, spare)| Some((*id, spare.pop_first()?)));
        let Some(found) = unused else { break };
        kept.insert(public, found);
    }
    let mut missing = unkept(&kept);
    for (id, _) in targets {
        let mut wanted = BTreeSet::new();
        while room.is_left(id)
            && let Some(public) = missing.pop_first()
        {
            room.take(id);
            wanted.insert(public);
        }
        if !wanted.is_empty() {
            return Err(Ec2Call::AssignAny { interface: (*id).clone(), wanted });
        }
    }
    for (id, target, spare) in spares {
        let mut surplus = spare;
        surplus.extend(wires::unwanted(scene, node, warm, target));
        surplus.retain(|wire| !kept.values().any(|(_, kept)| kept == wire));
        if !surplus.is_empty() {
            let (interface, addresses) = (id.clone(), surplus);
            return Err(Ec2Call::UnassignPrivate { interface, addresses });
        }
    }
    Ok(kept)
}

fn ready_at(
    scene: &PlacementInputs<'_>,
    address: IpAddr,
    wire: Option<Ipv4Addr>,
    node: &NodeName,
    id: &str,
) -> Attachment {
    let elastic = match address {
        IpAddr::V4(public) => scene.view.elastic.get(&public),
        IpAddr::V6(_) => None,
    };
    match elastic.zip(wire) {
        Some((elastic, wire)) => elastic_attachment(node.clone(), wire, id, &elastic.allocation),
        None => private_attachment(node.clone(), id),
    }
}
