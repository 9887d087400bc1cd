//! An egress address at a gateway: which service, rule and group carry it, and what keeps it from there.

use std::net::IpAddr;

use egret_core::model::NodeName;
use egret_ports::error::ErrorClass;

use crate::inputs::{GceInputs, another_mode, exists_already, used_by_another};
use crate::names::{self, ResourcePath};
use crate::refusal::GceRefusal;
use crate::snapshot::{GceInstance, HaService, StaticAddress};
use crate::step::{GceCall, GceStep, ServiceSettings};

/// Backend services with `fastIPMove` of one network and region.
const MOST_SERVICES: usize = 64;

/// An egress address at a node: the objects that carry it there, whether they exist or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HaPlace<'a> {
    pub instance: ResourcePath,
    pub at: &'a GceInstance,
    pub address: &'a StaticAddress,
    pub service: ResourcePath,
    pub rule: ResourcePath,
    pub group: ResourcePath,
}

impl<'a> HaPlace<'a> {
    /// The address at the node, if it can be there.
    pub fn find(
        inputs: &GceInputs<'a>,
        address: IpAddr,
        node: &NodeName,
    ) -> Result<Self, GceRefusal> {
        let (instance, at) = inputs.target(node)?;
        let reserved = inputs.reserved(address, at, node)?;
        let name = names::of_address(address, &at.network);
        let service = at.scope.path("backendServices", &name);
        let rule = at.scope.path("forwardingRules", &name);
        let group = group_of(at);
        if let Some(other) = reserved.users.iter().find(|user| **user != rule) {
            return Err(used_by_another(reserved, other));
        }
        Ok(Self { instance, at, address: reserved, service, rule, group })
    }

    /// What has the name of Egret's and is not, or leads elsewhere: changed by nobody but its maker.
    pub fn taken(&self, inputs: &GceInputs<'_>, address: IpAddr) -> Option<GceRefusal> {
        let wanted = names::description_of_address(address);
        let service = inputs.view.services.get(&self.service);
        if service.is_some_and(|service| service.description != wanted) {
            return Some(exists_already(&self.service));
        }
        if let Some(rule) = inputs.view.rules.get(&self.rule) {
            let other = rule.target.as_ref().filter(|path| path.part("targetInstances").is_some());
            if let Some(other) = other.filter(|_| rule.description == wanted) {
                return Some(another_mode(&self.rule, other));
            }
            if rule.description != wanted || rule.target.as_ref() != Some(&self.service) {
                return Some(exists_already(&self.rule));
            }
        }
        let leader = service?.leader.as_ref()?;
        inputs.is_stranger(leader).then(|| {
            let held = format!(
                "{leader} has it by {}, and is no node of this cluster: take the address out of its \
                 pool there, or out of this one",
                self.service
            );
            GceRefusal::new(ErrorClass::Invalid, held)
        })
    }

    /// The network and region have as many services as Google allows, and this would be another one.
    pub fn too_many_services(&self, inputs: &GceInputs<'_>) -> Option<GceRefusal> {
        let another = !inputs.view.services.contains_key(&self.service);
        (another && services_beside(inputs, self.at) >= MOST_SERVICES).then(|| {
            let full = format!(
                "network {} has {MOST_SERVICES} backend services with fastIPMove in {}, which is \
                 Google's limit: use fewer addresses there",
                self.at.network.name(),
                self.at.scope.region
            );
            GceRefusal::new(ErrorClass::Quota, full)
        })
    }
}

/// How many services with `fastIPMove` the instance's network and region have, whoever made them.
fn services_beside(inputs: &GceInputs<'_>, at: &GceInstance) -> usize {
    let beside = |(path, service): &(&ResourcePath, &HaService)| {
        service.fast
            && path.part("regions") == Some(&at.scope.region)
            && service.network.as_ref() == Some(&at.network)
    };
    inputs.view.services.iter().filter(beside).count()
}

/// Egret's own service of an address in a network of this cluster's nodes. Another cluster may have the
/// same internal address in another network.
pub(super) fn service_of<'a>(
    inputs: &GceInputs<'a>,
    address: IpAddr,
) -> Option<(&'a ResourcePath, &'a HaService)> {
    let of_this_cluster = |service: &HaService| {
        let mut instances = inputs.view.instances.values();
        let network = instances.any(|at| service.network.as_ref() == Some(&at.network));
        let mut leader = service.leader.iter();
        network || leader.any(|leader| inputs.node_of(leader).is_some())
    };
    let mut all = inputs.view.services.iter();
    all.find(|(path, service)| {
        own_address(path, service) == Some(address) && of_this_cluster(service)
    })
}

/// The address of a service that Egret made: by name and description.
pub(crate) fn own_address(path: &ResourcePath, service: &HaService) -> Option<IpAddr> {
    let address = names::described_address(&service.description)?;
    let name = names::of_address(address, service.network.as_ref()?);
    (name == path.name()).then_some(address)
}

/// The group of an instance's zone and subnetwork.
pub(super) fn group_of(at: &GceInstance) -> ResourcePath {
    at.scope.zonal(&at.zone, "networkEndpointGroups", &names::of_group(&at.subnetwork))
}

/// A service with other settings, unless somebody has changed it meanwhile.
pub(super) fn patch<T>(
    path: &ResourcePath,
    service: &HaService,
    settings: ServiceSettings,
) -> GceStep<T> {
    let fingerprint = service.fingerprint.clone();
    GceStep::Call(GceCall::PatchService { service: path.clone(), settings, fingerprint })
}
