//! The groups of endpoints of the gateways, which their addresses share.

use std::collections::BTreeSet;

use egret_ports::error::ErrorClass;

use super::place::{group_of, own_address, patch};
use crate::inputs::{GceInputs, exists_already};
use crate::names::{self, ResourcePath};
use crate::refusal::GceRefusal;
use crate::snapshot::{EndpointGroup, GceInstance, HaService};
use crate::step::{GceCall, GceStep, ServiceSettings};

/// Endpoints of one service with `fastIPMove`.
const MOST_ENDPOINTS: usize = 32;

/// The step that makes an instance an endpoint of its group; `None` where it is one.
pub(super) fn endpoint<T>(
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
        return Some(GceStep::Refuse(exists_already(&path)));
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
pub(super) fn too_many_endpoints(
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

/// The step by which an instance leaves its group; `None` where nothing is to be done. A leader is
/// asked again: Google lets go of it only once another one leads.
pub(super) fn leave<T>(
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

/// The next step by which the groups of zones go whose last gateway was deleted as a machine, so that it
/// never left them.
pub(super) fn sweep<T>(inputs: &GceInputs<'_>) -> Option<GceStep<T>> {
    let used: BTreeSet<ResourcePath> = inputs.view.instances.values().map(group_of).collect();
    let own = |path: &ResourcePath, group: &EndpointGroup| {
        inputs.view.subnetworks.keys().any(|subnetwork| {
            path.name() == names::of_group(subnetwork)
                && group.description == names::description_of_group(subnetwork)
        })
    };
    let unused = inputs.view.groups.iter().filter(|(path, group)| {
        !used.contains(path) && own(path, group) && !inputs.view.busy.contains(path)
    });
    let mut steps = unused.filter_map(|(path, group)| delete_empty(inputs, path, group));
    steps.next()
}
