//! What to do next: pure functions of what was read and what is wanted.
//!
//! Each says one step. Whoever carries it out reads again and asks again: so every prefix can be gone
//! on from, by another process too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::{Attachment, NodeName};
use egret_ports::error::ErrorClass;

use crate::inputs::{GceInputs, HaPlace, MOST_ENDPOINTS, group_of, own_address};
use crate::names::{self, RegionScope, ResourcePath};
use crate::refusal::GceRefusal;
use crate::snapshot::{EndpointGroup, GceInstance, HaService};

#[cfg(test)]
mod tests;

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GceStep<T> {
    /// It is so.
    Done(T),
    /// Make this call.
    Call(GceCall),
    /// An operation is under way on what this is about: read again.
    Wait,
    /// It cannot be.
    Refuse(GceRefusal),
}

/// A call that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GceCall {
    InsertGroup { group: ResourcePath, network: ResourcePath, subnetwork: ResourcePath },
    DeleteGroup { group: ResourcePath },
    AttachEndpoint { group: ResourcePath, instance: ResourcePath },
    DetachEndpoint { group: ResourcePath, instance: ResourcePath },
    InsertService(NewService),
    PatchService { service: ResourcePath, settings: ServiceSettings, fingerprint: Vec<u8> },
    DeleteService { service: ResourcePath },
    InsertRule(NewRule),
    DeleteRule { rule: ResourcePath },
}

/// A backend service to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewService {
    pub service: ResourcePath,
    pub settings: ServiceSettings,
    pub network: ResourcePath,
    pub address: IpAddr,
    pub external: bool,
}

/// A forwarding rule to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewRule {
    pub rule: ResourcePath,
    pub service: ResourcePath,
    pub address: IpAddr,
    /// The static address.
    pub reserved: ResourcePath,
    /// `None`: an external address.
    pub subnetwork: Option<ResourcePath>,
    pub network: ResourcePath,
    pub standard_tier: bool,
}

/// What of a service changes as gateways and leaders do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceSettings {
    pub groups: BTreeSet<ResourcePath>,
    /// The group and the instance.
    pub leader: Option<(ResourcePath, ResourcePath)>,
}

impl GceCall {
    /// What it changes.
    pub fn target(&self) -> &ResourcePath {
        match self {
            Self::InsertGroup { group, .. }
            | Self::DeleteGroup { group }
            | Self::AttachEndpoint { group, .. }
            | Self::DetachEndpoint { group, .. } => group,
            Self::InsertService(NewService { service, .. })
            | Self::PatchService { service, .. }
            | Self::DeleteService { service } => service,
            Self::InsertRule(NewRule { rule, .. }) | Self::DeleteRule { rule } => rule,
        }
    }
}

/// What prepares: each address with how it would be attached, or why it cannot be.
pub(crate) type PreparedAddresses = BTreeMap<IpAddr, Result<Attachment, GceRefusal>>;

/// `address` at `node`: it is an endpoint of the address's service, and its leader.
pub(crate) fn attach(
    inputs: &GceInputs<'_>,
    address: IpAddr,
    node: &NodeName,
) -> GceStep<Attachment> {
    let place = match inputs.place(address, node) {
        Ok(place) => place,
        Err(refusal) => return GceStep::Refuse(refusal),
    };
    if let Some(refusal) = inputs.taken(&place, address) {
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
    GceStep::Done(inputs.attachment_of(node, &place.instance, Some(place.at), address))
}

fn insert_service(
    inputs: &GceInputs<'_>,
    place: &HaPlace<'_>,
    address: IpAddr,
    leader: Option<(ResourcePath, ResourcePath)>,
) -> GceStep<Attachment> {
    if let Some(refusal) = inputs.too_many_services(place) {
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
        service: place.service.clone(),
        address,
        reserved: place.address.path.clone(),
        subnetwork: place.address.subnetwork.clone(),
        network: place.at.network.clone(),
        standard_tier: place.address.standard_tier,
    })
}

fn patch<T>(path: &ResourcePath, service: &HaService, settings: ServiceSettings) -> GceStep<T> {
    let fingerprint = service.fingerprint.clone();
    GceStep::Call(GceCall::PatchService { service: path.clone(), settings, fingerprint })
}

fn busy<T>(inputs: &GceInputs<'_>, place: &HaPlace<'_>) -> Option<GceStep<T>> {
    let any = [&place.service, &place.rule, &place.group];
    any.into_iter().any(|path| inputs.view.busy.contains(path)).then_some(GceStep::Wait)
}

/// The step that makes an instance an endpoint of its group; `None` where it is one.
fn endpoint<T>(
    inputs: &GceInputs<'_>,
    at: &GceInstance,
    instance: &ResourcePath,
) -> Option<GceStep<T>> {
    let path = group_of(at);
    if inputs.view.busy.contains(&path) {
        return Some(GceStep::Wait);
    }
    let Some(group) = inputs.view.groups.get(&path) else {
        let (network, subnetwork) = (at.network.clone(), at.subnetwork.clone());
        return Some(GceStep::Call(GceCall::InsertGroup { group: path, network, subnetwork }));
    };
    if group.description != names::description_of_group(&at.subnetwork) {
        let taken = format!("{path} exists and Egret did not make it: delete it, or rename it");
        return Some(GceStep::Refuse(GceRefusal::new(ErrorClass::Invalid, taken)));
    }
    if group.endpoints.contains(instance) {
        return None;
    }
    if group.endpoints.len() >= MOST_ENDPOINTS {
        return Some(GceStep::Refuse(no_room(&path)));
    }
    Some(GceStep::Call(GceCall::AttachEndpoint { group: path, instance: instance.clone() }))
}

/// A service has at most 32 endpoints, in all of its groups.
fn too_many_endpoints(
    inputs: &GceInputs<'_>,
    service: &HaService,
    group: &ResourcePath,
) -> Option<GceRefusal> {
    let groups: BTreeSet<&ResourcePath> = service.groups.iter().chain([group]).collect();
    let size =
        |path: &&ResourcePath| inputs.view.groups.get(path).map_or(0, |it| it.endpoints.len());
    let all: usize = groups.iter().map(size).sum();
    (all > MOST_ENDPOINTS).then(|| no_room(group))
}

fn no_room(group: &ResourcePath) -> GceRefusal {
    let full = format!(
        "{group} is full: a service has at most {MOST_ENDPOINTS} endpoints, so let pools of this network \
         and region select at most as many gateways"
    );
    GceRefusal::new(ErrorClass::Quota, full)
}

/// `node` ready for `addresses`: an endpoint of the services that exist, so that an announcement of it
/// is followed; or, where it is ready for nothing, no endpoint any more.
pub(crate) fn prepare(
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
        addresses.iter().map(|address| (*address, inputs.place(*address, node))).collect();
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
        if let Some(refusal) = inputs.taken(&place, address) {
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
        let attachment = inputs.attachment_of(node, &instance, Some(at), address);
        ready.insert(address, Ok(attachment));
    }
    GceStep::Done(ready)
}

/// The step by which an instance leaves its group; `None` where nothing is to be done. A leader is
/// asked again: Google lets go of it only once another one leads.
fn leave<T>(
    inputs: &GceInputs<'_>,
    at: &GceInstance,
    instance: &ResourcePath,
) -> Option<GceStep<T>> {
    let path = group_of(at);
    if inputs.view.busy.contains(&path) {
        return Some(GceStep::Wait);
    }
    let group = inputs.view.groups.get(&path)?;
    if group.description != names::description_of_group(&at.subnetwork) {
        return None;
    }
    let leads = inputs.view.services.values().any(|it| it.leader.as_ref() == Some(instance));
    if group.endpoints.contains(instance) {
        let instance = instance.clone();
        return Some(match leads {
            true => GceStep::Refuse(still_leads(&instance)),
            false => GceStep::Call(GceCall::DetachEndpoint { group: path, instance }),
        });
    }
    delete_empty(inputs, &path, group)
}

/// Told at once, and not waited for: the address is not detached while its gateways are made ready.
fn still_leads(instance: &ResourcePath) -> GceRefusal {
    let leads = format!("{instance} leads a service still: it is asked again");
    GceRefusal::new(ErrorClass::Transient, leads)
}

/// A group without endpoints is deleted, once it is a backend of nothing.
fn delete_empty<T>(
    inputs: &GceInputs<'_>,
    path: &ResourcePath,
    group: &EndpointGroup,
) -> Option<GceStep<T>> {
    if !group.endpoints.is_empty() {
        return None;
    }
    let mut users =
        inputs.view.services.iter().filter(|(_, service)| service.groups.contains(path));
    let Some((user, service)) = users.next() else {
        return Some(GceStep::Call(GceCall::DeleteGroup { group: path.clone() }));
    };
    own_address(user, service)?;
    // Google keeps the group of a leader, also of one that is gone, and a service keeps one group.
    let zone = |path: &ResourcePath| path.part("zones").map(ToOwned::to_owned);
    if service.groups.len() < 2 || service.leader.as_ref().is_some_and(|it| zone(it) == zone(path))
    {
        return None;
    }
    if inputs.view.busy.contains(user) {
        return Some(GceStep::Wait);
    }
    let groups: BTreeSet<_> = service.groups.iter().filter(|it| *it != path).cloned().collect();
    Some(patch(user, service, ServiceSettings { groups, leader: None }))
}

/// `address` not at `node`: where it leads, rule and service go.
pub(crate) fn detach(inputs: &GceInputs<'_>, address: IpAddr, node: &NodeName) -> GceStep<()> {
    let Some((path, service)) = inputs.service_of(address) else {
        return match inputs.view.unreadable.values().next() {
            Some(refusal) => GceStep::Refuse(refusal.clone()),
            None => detach_rule(inputs, address),
        };
    };
    let leads = service.leader.as_ref().is_none_or(|leader| {
        inputs.view.gone.contains(leader) || inputs.node_of(leader).as_ref() == Some(node)
    });
    if !leads {
        return GceStep::Done(());
    }
    let rule = scope(path).path("forwardingRules", path.name());
    if inputs.view.busy.contains(path) || inputs.view.busy.contains(&rule) {
        return GceStep::Wait;
    }
    let own = inputs.view.rules.get(&rule).filter(|it| it.service.as_ref() == Some(path));
    if own.is_some() {
        return GceStep::Call(GceCall::DeleteRule { rule });
    }
    GceStep::Call(GceCall::DeleteService { service: path.clone() })
}

/// A rule without its service is what a crash between two deletions cannot leave; what is under way is
/// waited for all the same.
fn detach_rule(inputs: &GceInputs<'_>, address: IpAddr) -> GceStep<()> {
    let digits = names::of_address(address, &ResourcePath::new(""));
    let stem = digits.rsplit_once('-').map_or("", |(stem, _)| stem);
    let of_address =
        |path: &&ResourcePath| path.name().rsplit_once('-').is_some_and(|(name, _)| name == stem);
    if inputs.view.busy.iter().any(|path| of_address(&path)) {
        GceStep::Wait
    } else {
        GceStep::Done(())
    }
}

fn scope(path: &ResourcePath) -> RegionScope {
    let part = |collection| path.part(collection).unwrap_or_default().to_owned();
    RegionScope { project: part("projects"), region: part("regions") }
}
