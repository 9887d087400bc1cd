//! Internal addresses as alias ranges of the gateways' first interface: a /32 each, which Egret takes away
//! at one gateway and adds at another. All other ranges stay as they are: the first one of a node of GKE
//! is that of its pods.
//!
//! Sources: <https://cloud.google.com/vpc/docs/alias-ip>,
//! <https://cloud.google.com/vpc/docs/configure-alias-ip-ranges> and the discovery document.

use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_core::model::{Attachment, NodeName, ProviderKind};
use egret_ports::error::ErrorClass;

use crate::inputs::{GceInputs, used_by_another};
use crate::mode::{DeliveryMode, ReadKinds};
use crate::names::ResourcePath;
use crate::refusal::GceRefusal;
use crate::snapshot::{AliasRange, GceInstance, StaticAddress};
use crate::step::{AliasChange, GceCall, GceStep, PreparedAddresses};

#[cfg(test)]
mod tests;

/// Alias ranges of one interface: <https://cloud.google.com/vpc/docs/quota#per_instance>.
pub(crate) const MOST_ALIASES: usize = 150;

/// Mode `AliasRange`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AliasRanges;

impl DeliveryMode for AliasRanges {
    fn kind(&self) -> ProviderKind {
        ProviderKind::GcpAliasRange
    }

    fn reads(&self) -> ReadKinds {
        ReadKinds { recorded_instances: true, ..ReadKinds::default() }
    }

    fn finds(&self, address: &StaticAddress) -> bool {
        address.subnetwork.is_some()
    }

    fn attachment(&self, inputs: &GceInputs<'_>, address: IpAddr) -> Option<Attachment> {
        let (instance, _) = holder(inputs, address)?;
        Some(inputs.attachment_of(&inputs.node_of(instance)?, instance, address))
    }

    fn refusal(
        &self,
        inputs: &GceInputs<'_>,
        address: IpAddr,
        node: &NodeName,
    ) -> Option<GceRefusal> {
        AliasPlace::find(inputs, address, node).err()
    }

    fn free(&self, at: &GceInstance) -> u32 {
        u32::try_from(MOST_ALIASES.saturating_sub(at.aliases.len())).unwrap_or(u32::MAX)
    }

    /// There is nothing to make ready, since a range is at one interface only: but there has to be room.
    fn prepare(
        &self,
        inputs: &GceInputs<'_>,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
    ) -> GceStep<PreparedAddresses> {
        let mut ready = PreparedAddresses::new();
        let mut room = None;
        for address in addresses {
            let result = AliasPlace::find(inputs, *address, node).and_then(|place| {
                let room = room.get_or_insert_with(|| self.free(place.at));
                let here =
                    holder(inputs, *address).is_some_and(|(path, _)| *path == place.instance);
                // What is ready takes room: else all gateways would be standbys for all addresses.
                if !here {
                    *room = room.checked_sub(1).ok_or_else(|| no_room(&place.instance))?;
                }
                Ok(inputs.attachment_of(node, &place.instance, *address))
            });
            ready.insert(*address, result);
        }
        GceStep::Done(ready)
    }

    fn attach(
        &self,
        inputs: &GceInputs<'_>,
        address: IpAddr,
        node: &NodeName,
    ) -> GceStep<Attachment> {
        let place = match AliasPlace::find(inputs, address, node) {
            Ok(place) => place,
            Err(refusal) => return GceStep::Refuse(refusal),
        };
        let holder = holder(inputs, address);
        let busy = |instance: &ResourcePath| inputs.view.busy.contains(instance);
        if busy(&place.instance) || holder.is_some_and(|(instance, _)| busy(instance)) {
            return GceStep::Wait;
        }
        // It may be at a gateway whose zone does not answer.
        if let Some(refusal) = inputs.unread_of(address).filter(|_| holder.is_none()) {
            return GceStep::Refuse(refusal.clone());
        }
        if let Some((instance, _)) = holder.filter(|(instance, _)| **instance == place.instance) {
            return GceStep::Done(inputs.attachment_of(node, instance, address));
        }
        if self.free(place.at) == 0 {
            return GceStep::Refuse(no_room(&place.instance));
        }
        let change = match holder {
            Some((instance, range)) => taken_away(instance, range),
            None => AliasChange {
                instance: place.instance,
                add: [place.range].into(),
                remove: BTreeSet::new(),
            },
        };
        GceStep::Call(GceCall::ChangeAliases(change))
    }

    fn detach(&self, inputs: &GceInputs<'_>, address: IpAddr, node: &NodeName) -> GceStep<()> {
        let Some((instance, range)) = holder(inputs, address) else {
            return unseen(inputs, address, node);
        };
        if inputs.node_of(instance).as_ref() != Some(node) {
            return GceStep::Done(());
        }
        match inputs.view.busy.contains(instance) {
            true => GceStep::Wait,
            false => GceStep::Call(GceCall::ChangeAliases(taken_away(instance, range))),
        }
    }

    fn sweep(&self, _: &GceInputs<'_>) -> GceStep<()> {
        GceStep::Done(())
    }
}

/// An egress address at a node, if it can be there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AliasPlace<'a> {
    instance: ResourcePath,
    at: &'a GceInstance,
    range: AliasRange,
}

impl<'a> AliasPlace<'a> {
    fn find(inputs: &GceInputs<'a>, address: IpAddr, node: &NodeName) -> Result<Self, GceRefusal> {
        let invalid = |message: String| GceRefusal::new(ErrorClass::Invalid, message);
        let (instance, at) = inputs.target(node)?;
        let IpAddr::V4(v4) = address else { return Err(inputs.no_v6()) };
        let missing = || invalid(format!("{} cannot be read", at.subnetwork));
        let subnetwork = inputs.view.subnetworks.get(&at.subnetwork).ok_or_else(missing)?;
        let secondary = || subnetwork.secondary.iter().find(|(_, range)| range.contains(&v4));
        let name = match subnetwork.range.contains(&v4) {
            true => None,
            false => secondary().map(|(name, _)| Some(name.clone())).ok_or_else(|| {
                invalid(format!(
                    "{address} is in no range of {}, which {node} is in: take an address of the \
                     gateways' subnetwork",
                    at.subnetwork
                ))
            })?,
        };
        let of_nodes =
            |at: &GceInstance| at.aliases.iter().any(|alias| alias.name == name && alias.is_wide());
        if let Some(name) = name.as_deref().filter(|_| inputs.view.instances.values().any(of_nodes))
        {
            return Err(invalid(format!(
                "{address} is in the range {name} of {}, from which nodes have ranges for their pods: \
                 take an address of another range",
                at.subnetwork
            )));
        }
        let place = Self { instance, at, range: AliasRange::single(v4, name) };
        place.taken(inputs, address).map_or(Ok(place), Err)
    }

    /// Something else has the address.
    fn taken(&self, inputs: &GceInputs<'_>, address: IpAddr) -> Option<GceRefusal> {
        let inside = |(path, at): (&ResourcePath, &GceInstance)| {
            let mut wide = at.aliases.iter().filter(|alias| alias.is_wide());
            let alias = wide.find(|alias| alias.contains(address));
            let own = (IpAddr::V4(at.v4) == address && at.network == self.at.network)
                .then(|| format!("the address of {path} itself"));
            own.or_else(|| Some(format!("inside {}, an alias range of {path}", alias?.cidr)))
        };
        let known = inputs.view.instances.iter().find_map(inside);
        let known = known.map(|why| {
            let message = format!("{address} is {why}: take it out of the pool");
            GceRefusal::new(ErrorClass::Invalid, message)
        });
        known.or_else(|| {
            let mut reserved = inputs.view.addresses.get(&address).into_iter().flatten();
            let reserved =
                reserved.find(|one| one.subnetwork.as_ref() == Some(&self.at.subnetwork))?;
            // An instance of this cluster that has it, has it from Egret.
            let other = |user: &&ResourcePath| !inputs.view.instances.contains_key(*user);
            Some(used_by_another(reserved, reserved.users.iter().find(other)?))
        })
    }
}

/// The interface that has the address, and how.
fn holder<'a>(
    inputs: &GceInputs<'a>,
    address: IpAddr,
) -> Option<(&'a ResourcePath, &'a AliasRange)> {
    let at = |(path, at): (&'a ResourcePath, &'a GceInstance)| {
        let mut single = at.aliases.iter().filter(|alias| !alias.is_wide());
        Some((path, single.find(|alias| alias.contains(address))?))
    };
    inputs.view.instances.iter().find_map(at)
}

fn taken_away(instance: &ResourcePath, range: &AliasRange) -> AliasChange {
    AliasChange { instance: instance.clone(), add: BTreeSet::new(), remove: [range.clone()].into() }
}

fn no_room(instance: &ResourcePath) -> GceRefusal {
    let full = format!(
        "{instance} has {MOST_ALIASES} alias ranges, which is Google's limit: set \
         spec.gateways.maxAddressesPerNode, or use more gateways"
    );
    GceRefusal::new(ErrorClass::Quota, full)
}

/// No instance that was read has the address. Where the one that had it could not be read, that proves
/// nothing; nor where a change of the node's interface is under way.
fn unseen(inputs: &GceInputs<'_>, address: IpAddr, node: &NodeName) -> GceStep<()> {
    if let Some(refusal) = inputs.unread_of(address) {
        return GceStep::Refuse(refusal.clone());
    }
    let instance = inputs.instance_at(address, node);
    match instance.is_some_and(|instance| inputs.view.busy.contains(&instance)) {
        true => GceStep::Wait,
        false => GceStep::Done(()),
    }
}
