//! Static addresses, external and internal, that gateways announce: `haPolicy.fastIPMove: GARP_RA`. The
//! gateways are the endpoints of the address's backend service. The one that announces the address gets
//! its packets at once; afterwards it is made the service's leader, so that nothing rests on the
//! announcements.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::{Attachment, NodeName, ProviderKind};

use crate::inputs::{GceInputs, nothing_known};
use crate::mode::{DeliveryMode, ReadKinds};
use crate::names::ResourcePath;
use crate::refusal::GceRefusal;
use crate::snapshot::{GceInstance, StaticAddress};
use crate::step::{
    GceCall, GceStep, NewRule, NewService, PreparedAddresses, RuleTarget, ServiceSettings,
};
use endpoints::{endpoint, leave, sweep, too_many_endpoints};
use place::{HaPlace, patch, service_of};

mod endpoints;
mod place;
#[cfg(test)]
mod tests;

pub(crate) use place::own_address;

/// Mode `HAPolicy`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HaPolicy;

impl DeliveryMode for HaPolicy {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Gcp
    }

    fn reads(&self) -> ReadKinds {
        ReadKinds { services: true, rules: true, groups: true, ..ReadKinds::default() }
    }

    fn finds(&self, _: &StaticAddress) -> bool {
        true
    }

    fn attachment(&self, inputs: &GceInputs<'_>, address: IpAddr) -> Option<Attachment> {
        let (path, service) = service_of(inputs, address)?;
        let rule = inputs.view.rules.values().find(|rule| rule.target.as_ref() == Some(path))?;
        let leader = service.leader.as_ref().filter(|_| rule.address == Some(address))?;
        let node = inputs.node_of(leader)?;
        Some(inputs.attachment_of(&node, leader, address))
    }

    fn refusal(
        &self,
        inputs: &GceInputs<'_>,
        address: IpAddr,
        node: &NodeName,
    ) -> Option<GceRefusal> {
        match HaPlace::find(inputs, address, node) {
            Err(refusal) => Some(refusal),
            Ok(place) => place.taken(inputs, address).or_else(|| place.too_many_services(inputs)),
        }
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
        prepare(inputs, node, addresses)
    }

    fn attach(
        &self,
        inputs: &GceInputs<'_>,
        address: IpAddr,
        node: &NodeName,
    ) -> GceStep<Attachment> {
        attach(inputs, address, node)
    }

    fn detach(&self, inputs: &GceInputs<'_>, address: IpAddr, node: &NodeName) -> GceStep<()> {
        detach(inputs, address, node)
    }

    fn sweep(&self, inputs: &GceInputs<'_>) -> GceStep<()> {
        sweep(inputs).unwrap_or(GceStep::Done(()))
    }
}

/// `address` at `node`: it is an endpoint of the address's service, and its leader.
fn attach(inputs: &GceInputs<'_>, address: IpAddr, node: &NodeName) -> GceStep<Attachment> {
    let place = match HaPlace::find(inputs, address, node) {
        Ok(place) => place,
        Err(refusal) => return GceStep::Refuse(refusal),
    };
    if let Some(refusal) = place.taken(inputs, address) {
        return GceStep::Refuse(refusal);
    }
    if let Some(step) = busy(inputs, &place) {
        return step;
    }
    if let Some(step) = endpoint(inputs, place.at, &place.instance) {
        return step;
    }
    let leader = Some((place.group.clone(), place.instance.clone()));
    let Some(service) = inputs.view.services.get(&place.service) else {
        return insert_service(inputs, &place, address, leader);
    };
    if service.leader.as_ref() != Some(&place.instance) {
        if let Some(refusal) = too_many_endpoints(inputs, service, &place.group) {
            return GceStep::Refuse(refusal);
        }
        let groups = service.groups.iter().chain([&place.group]).cloned().collect();
        return patch(&place.service, service, ServiceSettings { groups, leader });
    }
    if !inputs.view.rules.contains_key(&place.rule) {
        return GceStep::Call(insert_rule(&place, address));
    }
    GceStep::Done(inputs.attachment_of(node, &place.instance, address))
}

fn insert_service(
    inputs: &GceInputs<'_>,
    place: &HaPlace<'_>,
    address: IpAddr,
    leader: Option<(ResourcePath, ResourcePath)>,
) -> GceStep<Attachment> {
    if let Some(refusal) = place.too_many_services(inputs) {
        return GceStep::Refuse(refusal);
    }
    GceStep::Call(GceCall::InsertService(NewService {
        service: place.service.clone(),
        settings: ServiceSettings { groups: [place.group.clone()].into(), leader },
        network: place.at.network.clone(),
        address,
        external: place.address.subnetwork.is_none(),
    }))
}

fn insert_rule(place: &HaPlace<'_>, address: IpAddr) -> GceCall {
    GceCall::InsertRule(NewRule {
        rule: place.rule.clone(),
        deliver: RuleTarget::Service(place.service.clone()),
        address,
        reserved: place.address.path.clone(),
        subnetwork: place.address.subnetwork.clone(),
        network: place.at.network.clone(),
        standard_tier: place.address.standard_tier,
    })
}

fn busy<T>(inputs: &GceInputs<'_>, place: &HaPlace<'_>) -> Option<GceStep<T>> {
    let any = [&place.service, &place.rule, &place.group];
    any.into_iter().any(|path| inputs.view.busy.contains(path)).then_some(GceStep::Wait)
}

/// `node` ready for `addresses`: an endpoint of the services that exist, so that an announcement of it
/// is followed; or, where it is ready for nothing, no endpoint any more.
fn prepare(
    inputs: &GceInputs<'_>,
    node: &NodeName,
    addresses: &BTreeSet<IpAddr>,
) -> GceStep<PreparedAddresses> {
    let (instance, at) = match inputs.target(node) {
        Ok(found) => found,
        Err(_) if addresses.is_empty() => return GceStep::Done(PreparedAddresses::new()),
        Err(refusal) => return GceStep::Refuse(refusal),
    };
    let places: BTreeMap<IpAddr, Result<HaPlace<'_>, GceRefusal>> =
        addresses.iter().map(|address| (*address, HaPlace::find(inputs, *address, node))).collect();
    if !places.values().any(Result::is_ok) {
        if let Some(step) = leave(inputs, at, &instance) {
            return step;
        }
    } else if let Some(step) = endpoint(inputs, at, &instance) {
        // No address can be here then, and each says so.
        let GceStep::Refuse(refusal) = step else { return step };
        let refused = |address: &IpAddr| (*address, Err(refusal.clone()));
        return GceStep::Done(addresses.iter().map(refused).collect());
    }
    let mut ready = PreparedAddresses::new();
    for (address, place) in places {
        let place = match place {
            Ok(place) => place,
            Err(refusal) => {
                ready.insert(address, Err(refusal));
                continue;
            }
        };
        if let Some(refusal) = place.taken(inputs, address) {
            ready.insert(address, Err(refusal));
            continue;
        }
        let service = inputs.view.services.get(&place.service);
        if let Some(service) = service.filter(|service| !service.groups.contains(&place.group)) {
            if inputs.view.busy.contains(&place.service) {
                return GceStep::Wait;
            }
            if let Some(refusal) = too_many_endpoints(inputs, service, &place.group) {
                ready.insert(address, Err(refusal));
                continue;
            }
            let groups = service.groups.iter().chain([&place.group]).cloned().collect();
            return patch(&place.service, service, ServiceSettings { groups, leader: None });
        }
        let attachment = inputs.attachment_of(node, &instance, address);
        ready.insert(address, Ok(attachment));
    }
    GceStep::Done(ready)
}

/// `address` not at `node`: where it leads, rule and service go.
fn detach(inputs: &GceInputs<'_>, address: IpAddr, node: &NodeName) -> GceStep<()> {
    let Some((path, service)) = service_of(inputs, address) else {
        return nothing_known(inputs, address);
    };
    let rule = path.beside("forwardingRules", path.name());
    // It may be about to lead here.
    if inputs.view.busy.contains(path) || inputs.view.busy.contains(&rule) {
        return GceStep::Wait;
    }
    let leads = service.leader.as_ref().is_none_or(|leader| {
        inputs.view.gone.contains(leader) || inputs.node_of(leader).as_ref() == Some(node)
    });
    if !leads {
        return GceStep::Done(());
    }
    let own = inputs.view.rules.get(&rule).filter(|it| it.target.as_ref() == Some(path));
    if own.is_some() {
        return GceStep::Call(GceCall::DeleteRule { rule });
    }
    GceStep::Call(GceCall::DeleteService { service: path.clone() })
}
