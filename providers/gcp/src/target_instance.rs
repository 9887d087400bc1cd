//! Static external addresses whose forwarding rules deliver to a target instance: for projects that
//! cannot use `haPolicy`. Each gateway has one, and an address moves by `setTarget` of its rule.
//!
//! Sources: <https://cloud.google.com/load-balancing/docs/protocol-forwarding> and the discovery document.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::{Attachment, NodeName, ProviderKind};
use egret_ports::error::ErrorClass;

use crate::inputs::{GceInputs, another_mode, exists_already, nothing_known, used_by_another};
use crate::mode::{DeliveryMode, ReadKinds};
use crate::names::{self, ResourcePath};
use crate::refusal::GceRefusal;
use crate::snapshot::{GceInstance, GceRule, GceTarget, StaticAddress};
use crate::step::{GceCall, GceStep, NewRule, PreparedAddresses, RuleTarget};

#[cfg(test)]
mod tests;

/// Mode `TargetInstance`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetInstances;

impl DeliveryMode for TargetInstances {
    fn kind(&self) -> ProviderKind {
        ProviderKind::GcpTargetInstance
    }

    fn reads(&self) -> ReadKinds {
        ReadKinds { rules: true, targets: true, ..ReadKinds::default() }
    }

    fn finds(&self, address: &StaticAddress) -> bool {
        address.subnetwork.is_none()
    }

    fn attachment(&self, inputs: &GceInputs<'_>, address: IpAddr) -> Option<Attachment> {
        let Receiver::Instance(instance) = receiver(inputs, own_rule(inputs, address)?.1) else {
            return None;
        };
        let node = inputs.node_of(instance)?;
        Some(inputs.attachment_of(&node, instance, address))
    }

    fn refusal(
        &self,
        inputs: &GceInputs<'_>,
        address: IpAddr,
        node: &NodeName,
    ) -> Option<GceRefusal> {
        TargetPlace::find(inputs, address, node).err()
    }

    fn free(&self, _: &GceInstance) -> u32 {
        u32::MAX
    }

    fn prepare(
        &self,
        inputs: &GceInputs<'_>,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
    ) -> GceStep<PreparedAddresses> {
        let (instance, at) = match inputs.target(node) {
            Ok(found) => found,
            Err(_) if addresses.is_empty() => return GceStep::Done(PreparedAddresses::new()),
            Err(refusal) => return GceStep::Refuse(refusal),
        };
        let places: BTreeMap<IpAddr, Result<TargetPlace<'_>, GceRefusal>> = addresses
            .iter()
            .map(|address| (*address, TargetPlace::find(inputs, *address, node)))
            .collect();
        let step = match places.values().any(Result::is_ok) {
            true => made(inputs, at, &instance),
            false => unmade(inputs, &target_of(at)),
        };
        if let Some(step) = step {
            return step;
        }
        if addresses.is_empty()
            && let Some(refusal) = still_delivers(inputs, &instance, &target_of(at))
        {
            return GceStep::Refuse(refusal);
        }
        let ready = |(address, place): (IpAddr, Result<TargetPlace<'_>, GceRefusal>)| {
            (address, place.map(|_| inputs.attachment_of(node, &instance, address)))
        };
        GceStep::Done(places.into_iter().map(ready).collect())
    }

    fn attach(
        &self,
        inputs: &GceInputs<'_>,
        address: IpAddr,
        node: &NodeName,
    ) -> GceStep<Attachment> {
        let place = match TargetPlace::find(inputs, address, node) {
            Ok(place) => place,
            Err(refusal) => return GceStep::Refuse(refusal),
        };
        if inputs.view.busy.contains(&place.rule) {
            return GceStep::Wait;
        }
        if let Some(step) = made(inputs, place.at, &place.instance) {
            return step;
        }
        let target = target_of(place.at);
        match inputs.view.rules.get(&place.rule) {
            None => GceStep::Call(GceCall::InsertRule(NewRule {
                rule: place.rule,
                deliver: RuleTarget::Instance(target),
                address,
                reserved: place.address.path.clone(),
                subnetwork: None,
                network: place.at.network.clone(),
                standard_tier: place.address.standard_tier,
            })),
            Some(rule) if rule.target.as_ref() != Some(&target) => {
                GceStep::Call(GceCall::SetTarget { rule: place.rule, target })
            }
            Some(_) => GceStep::Done(inputs.attachment_of(node, &place.instance, address)),
        }
    }

    /// Where the rule delivers to the node, or to nobody any more, it goes.
    fn detach(&self, inputs: &GceInputs<'_>, address: IpAddr, node: &NodeName) -> GceStep<()> {
        let Some((path, rule)) = own_rule(inputs, address) else {
            return nothing_known(inputs, address);
        };
        // It may be about to deliver here.
        if inputs.view.busy.contains(path) {
            return GceStep::Wait;
        }
        let here = match receiver(inputs, rule) {
            Receiver::Instance(instance) => {
                let gone = inputs.view.gone.contains(instance);
                gone || inputs.node_of(instance).as_ref() == Some(node)
            }
            Receiver::Nobody => true,
            Receiver::Unread(refusal) => return GceStep::Refuse(refusal.clone()),
            Receiver::Stranger => false,
        };
        match here {
            false => GceStep::Done(()),
            true => GceStep::Call(GceCall::DeleteRule { rule: path.clone() }),
        }
    }

    /// Target instances whose machine is gone, or is another one of the same name.
    fn sweep(&self, inputs: &GceInputs<'_>) -> GceStep<()> {
        let unused = |(path, target): &(&ResourcePath, &GceTarget)| {
            let Some(instance) = &target.instance else { return true };
            let living = inputs.view.instances.get(instance);
            let replaced = living.is_some_and(|at| target_of(at) != **path);
            replaced || inputs.view.gone.contains(instance)
        };
        let mut steps =
            own_targets(inputs).filter(unused).filter_map(|(path, _)| unmade(inputs, path));
        steps.next().unwrap_or(GceStep::Done(()))
    }
}

/// An egress address at a node: the objects that carry it there, whether they exist or not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TargetPlace<'a> {
    instance: ResourcePath,
    at: &'a GceInstance,
    address: &'a StaticAddress,
    rule: ResourcePath,
}

impl<'a> TargetPlace<'a> {
    fn find(inputs: &GceInputs<'a>, address: IpAddr, node: &NodeName) -> Result<Self, GceRefusal> {
        let (instance, at) = inputs.target(node)?;
        let reserved = inputs.reserved(address, at, node)?;
        if reserved.subnetwork.is_some() {
            let internal = format!(
                "{} is internal, and mode TargetInstance serves external addresses: move it to a pool \
                 of mode HAPolicy or AliasRange",
                reserved.path
            );
            return Err(GceRefusal::new(ErrorClass::Invalid, internal));
        }
        let rule = at.scope.path("forwardingRules", &names::of_address(address, &at.network));
        if let Some(other) = reserved.users.iter().find(|user| **user != rule) {
            return Err(used_by_another(reserved, other));
        }
        let place = Self { instance, at, address: reserved, rule };
        place.taken(inputs, address).map_or(Ok(place), Err)
    }

    /// What has the name of Egret's and is not, or delivers elsewhere.
    fn taken(&self, inputs: &GceInputs<'_>, address: IpAddr) -> Option<GceRefusal> {
        let target = inputs.view.targets.get(&target_of(self.at));
        let description = names::description_of_target(&self.instance);
        if target.is_some_and(|target| target.description != description) {
            return Some(exists_already(&target_of(self.at)));
        }
        let rule = inputs.view.rules.get(&self.rule)?;
        let wanted = names::description_of_address(address);
        let other = rule.target.as_ref().filter(|path| path.part("targetInstances").is_none());
        if let Some(other) = other.filter(|_| rule.description == wanted) {
            return Some(another_mode(&self.rule, other));
        }
        if rule.description != wanted || other.is_some() {
            return Some(exists_already(&self.rule));
        }
        let stranger = match receiver(inputs, rule) {
            Receiver::Instance(instance) => inputs.is_stranger(instance).then_some(instance),
            Receiver::Stranger => rule.target.as_ref(),
            // Where its zone does not answer it moves on, if it was ours.
            Receiver::Unread(refusal) if !self.is_recorded(inputs, address, rule) => {
                return Some(refusal.clone());
            }
            Receiver::Unread(_) | Receiver::Nobody => None,
        };
        let held = format!(
            "{} has it by {}, and is no node of this cluster: take the address out of its pool there, or \
             out of this one",
            stranger?, self.rule
        );
        Some(GceRefusal::new(ErrorClass::Invalid, held))
    }

    /// The status says that the address was at a gateway of the zone that the rule delivers to.
    fn is_recorded(&self, inputs: &GceInputs<'_>, address: IpAddr, rule: &GceRule) -> bool {
        let zone = rule.target.as_ref().and_then(|target| target.part("zones"));
        let mut nodes =
            inputs.inventory.addresses.get(&address).into_iter().flat_map(|all| all.keys());
        nodes.any(|node| {
            let instance = inputs.instance_at(address, node);
            zone.is_some() && instance.as_ref().and_then(|it| it.part("zones")) == zone
        })
    }
}

/// The target instance of an instance. A new machine of an old name has another one: what a target
/// delivers to whose machine was deleted is documented nowhere.
fn target_of(at: &GceInstance) -> ResourcePath {
    at.scope.zonal(&at.zone, "targetInstances", &names::of_target(at.id))
}

/// The step that makes an instance's target; `None` where it is there.
fn made<T>(
    inputs: &GceInputs<'_>,
    at: &GceInstance,
    instance: &ResourcePath,
) -> Option<GceStep<T>> {
    let target = target_of(at);
    if inputs.view.busy.contains(&target) {
        return Some(GceStep::Wait);
    }
    let insert = GceCall::InsertTarget { target: target.clone(), instance: instance.clone() };
    (!inputs.view.targets.contains_key(&target)).then_some(GceStep::Call(insert))
}

/// The step by which a target of Egret's goes that no rule delivers to; `None` where none is needed.
fn unmade<T>(inputs: &GceInputs<'_>, path: &ResourcePath) -> Option<GceStep<T>> {
    if inputs.view.busy.contains(path) {
        return Some(GceStep::Wait);
    }
    let mut own = own_targets(inputs);
    own.find(|(target, _)| *target == path)?;
    let used = inputs.view.rules.values().any(|rule| rule.target.as_ref() == Some(path));
    (!used).then(|| GceStep::Call(GceCall::DeleteTarget { target: path.clone() }))
}

/// A rule delivers to an instance that is to be ready for nothing any more. Told at once, and not waited
/// for: the address is not detached while its gateways are made ready.
fn still_delivers(
    inputs: &GceInputs<'_>,
    instance: &ResourcePath,
    target: &ResourcePath,
) -> Option<GceRefusal> {
    own_targets(inputs).find(|(own, _)| *own == target)?;
    let mut rules = inputs.view.rules.iter();
    let (rule, _) = rules.find(|(_, rule)| rule.target.as_ref() == Some(target))?;
    let message = format!("{rule} delivers to {instance} still: it is asked again");
    Some(GceRefusal::new(ErrorClass::Transient, message))
}

/// Targets that Egret made: by name and description.
fn own_targets<'a>(
    inputs: &GceInputs<'a>,
) -> impl Iterator<Item = (&'a ResourcePath, &'a GceTarget)> {
    let own =
        |(_, target): &(&ResourcePath, &GceTarget)| target.description.starts_with(names::GATEWAY);
    inputs.view.targets.iter().filter(own)
}

/// Egret's own rule of an address, in this mode.
fn own_rule<'a>(
    inputs: &GceInputs<'a>,
    address: IpAddr,
) -> Option<(&'a ResourcePath, &'a GceRule)> {
    let wanted = names::description_of_address(address);
    let own = |(_, rule): &(&ResourcePath, &GceRule)| {
        let target = rule.target.as_ref().and_then(|target| target.part("targetInstances"));
        rule.address == Some(address) && rule.description == wanted && target.is_some()
    };
    inputs.view.rules.iter().find(own)
}

/// Whom a rule delivers to.
enum Receiver<'a> {
    Instance(&'a ResourcePath),
    /// Its target names no instance: the machine was deleted.
    Nobody,
    /// Its target is none of Egret's.
    Stranger,
    /// The target's zone did not answer.
    Unread(&'a GceRefusal),
}

fn receiver<'a>(inputs: &GceInputs<'a>, rule: &GceRule) -> Receiver<'a> {
    let Some(path) = &rule.target else { return Receiver::Stranger };
    if let Some(refusal) = inputs.view.unread(path) {
        return Receiver::Unread(refusal);
    }
    match inputs.view.targets.get(path).map(|target| target.instance.as_ref()) {
        Some(Some(instance)) => Receiver::Instance(instance),
        Some(None) => Receiver::Nobody,
        None => Receiver::Stranger,
    }
}
