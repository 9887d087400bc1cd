//! A node ready for its addresses: a wire address for each Elastic IP that brings none along.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use egret_core::model::{Attachment, NodeName};

use super::{Route, Step, is_secondary, no_room, wires};
use crate::call::Ec2Call;
use crate::place::{PlacementInputs, Unplaceable, elastic_attachment, private_attachment};
use crate::snapshot::Interface;

/// What `prepare` made of each address.
pub(crate) type Ready = BTreeMap<IpAddr, Result<Attachment, Unplaceable>>;

/// `node` ready for exactly `addresses`.
pub(crate) fn prepare(
    scene: &PlacementInputs<'_>,
    node: &NodeName,
    addresses: &BTreeSet<IpAddr>,
) -> Step<Ready> {
    let (id, target) = match scene.target(node) {
        Ok(found) => found,
        Err(refusal) => return refusal.into(),
    };
    if scene.pending.contains(id) {
        // What is about to appear there is somebody's, or is left over.
        return Step::Wait(None);
    }
    let mut ready = BTreeMap::new();
    let mut warm = BTreeSet::new();
    for address in addresses {
        match (scene.fits(*address, id, target), address) {
            (Err(refusal), _) => drop(ready.insert(*address, Err(refusal))),
            (Ok(()), IpAddr::V4(public)) if scene.view.elastic.contains_key(public) => {
                match carried(scene, *public, (id, target)) {
                    Some(wire) => drop(ready.insert(*address, Ok(Some(wire)))),
                    None => drop(warm.insert(*public)),
                }
            }
            (Ok(()), _) => drop(ready.insert(*address, Ok(None))),
        }
    }
    let (mut kept, mut spare) = wires::at(scene, &warm, node, target);
    for public in &warm {
        if !kept.contains_key(public)
            && let Some(wire) = spare.pop_first()
        {
            kept.insert(*public, wire);
        }
    }
    let room = usize::try_from(scene.room(id, true)).unwrap_or(usize::MAX);
    let missing = warm.iter().filter(|public| !kept.contains_key(public));
    let missing: BTreeSet<_> = missing.take(room).copied().collect();
    if !missing.is_empty() {
        return Step::Call(Ec2Call::AssignAny { interface: id.clone(), wanted: missing });
    }
    let mut surplus = spare;
    surplus.extend(wires::unwanted(scene, node, &warm, target));
    surplus.retain(|wire| !kept.values().any(|kept| kept == wire));
    if !surplus.is_empty() {
        let (interface, addresses) = (id.clone(), surplus);
        return Step::Call(Ec2Call::UnassignPrivate { interface, addresses });
    }
    for public in warm {
        let wire = kept.get(&public).copied().ok_or_else(|| no_room(id));
        ready.insert(public.into(), wire.map(Some));
    }
    let attachment = |(address, wire): (IpAddr, Result<Option<Ipv4Addr>, Unplaceable>)| {
        (address, wire.map(|wire| ready_at(scene, address, wire, node, id)))
    };
    Step::Done(ready.into_iter().map(attachment).collect())
}

/// The wire address that an Elastic IP has already, or brings along from its subnet.
fn carried(
    scene: &PlacementInputs<'_>,
    public: Ipv4Addr,
    (id, target): (&str, &Interface),
) -> Option<Ipv4Addr> {
    let elastic = scene.view.elastic.get(&public)?;
    let at = elastic.association.as_ref()?;
    let route = Route::of(scene, public, Some(at), target);
    let here = at.interface == id && is_secondary(target, at.private);
    let moves = route.moves.is_some() && scene.room(id, true) > 0;
    (here || moves).then_some(at.private)
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
