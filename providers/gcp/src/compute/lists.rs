//! Lists and single resources, as values.

use std::net::IpAddr;

use egret_ports::error::ErrorClass;
use google_cloud_compute_v1::builder::network_endpoint_groups::ListNetworkEndpoints;
use google_cloud_compute_v1::model;
use google_cloud_gax::paginator::ItemPaginator as _;

use super::Compute;
use super::parse;
use crate::errors::GceFailure;
use crate::names::{OURS, RegionScope, ResourcePath};
use crate::snapshot::{
    EndpointGroup, GceInstance, GceRule, GceSubnetwork, GceTarget, HaService, StaticAddress,
};

/// All items of a list that has pages.
macro_rules! list {
    ($self:ident, $method:literal, $list:expr) => {{
        let mut items = $list.by_item();
        let mut all = Vec::new();
        while let Some(item) = tokio::time::timeout($self.options.call_timeout, items.next())
            .await
            .map_err(|_| GceFailure::timeout($method))?
        {
            all.push(item.map_err(|error| GceFailure::of_call($method, &error))?);
        }
        all
    }};
}

/// Resources by path.
type Listed<T> = Result<Vec<(ResourcePath, T)>, GceFailure>;

/// Of operations.
const UNDER_WAY: &str = "status != \"DONE\"";

impl Compute {
    /// What an operation of the region is under way on.
    pub(super) async fn list_region_operations(
        &self,
        scope: &RegionScope,
    ) -> Result<Vec<ResourcePath>, GceFailure> {
        let list = self.region_operations.list();
        let list = list.set_project(&scope.project).set_region(&scope.region).set_filter(UNDER_WAY);
        let operations = list!(self, "compute.regionOperations.list", list);
        Ok(operations.iter().filter_map(parse::target_under_way).collect())
    }

    /// What an operation of the zone is under way on.
    pub(super) async fn list_zone_operations(
        &self,
        scope: &RegionScope,
        zone: &str,
    ) -> Result<Vec<ResourcePath>, GceFailure> {
        let list = self.zone_operations.list();
        let list = list.set_project(&scope.project).set_zone(zone).set_filter(UNDER_WAY);
        let operations = list!(self, "compute.zoneOperations.list", list);
        Ok(operations.iter().filter_map(parse::target_under_way).collect())
    }

    /// `None` where it does not exist, or has no interface with an address: nothing can be delivered to
    /// it.
    pub(super) async fn get_instance(
        &self,
        path: &ResourcePath,
        scope: &RegionScope,
    ) -> Result<Option<(ResourcePath, GceInstance)>, GceFailure> {
        let zone = path.part("zones").unwrap_or_default();
        let instance = self.instance(path).await?;
        let at = instance.and_then(|instance| parse::instance(&instance, zone, scope));
        Ok(at.map(|at| (path.clone(), at)))
    }

    /// The instance, if it exists.
    pub(super) async fn instance(
        &self,
        path: &ResourcePath,
    ) -> Result<Option<model::Instance>, GceFailure> {
        let part = |collection| path.part(collection).unwrap_or_default();
        let get = self.instances.get().set_project(part("projects")).set_zone(part("zones"));
        let get = get.set_instance(path.name());
        match self.answer("compute.instances.get", get.send()).await {
            Ok(instance) => Ok(Some(instance)),
            Err(failure) if failure.class == ErrorClass::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn list_addresses(
        &self,
        scope: &RegionScope,
    ) -> Result<Vec<(IpAddr, StaticAddress)>, GceFailure> {
        let list = self.addresses.list().set_project(&scope.project).set_region(&scope.region);
        let all = list!(self, "compute.addresses.list", list);
        Ok(all.into_iter().filter_map(|address| parse::address(address, scope)).collect())
    }

    /// Those that have `fastIPMove`, or a name of ours.
    pub(super) async fn list_services(&self, scope: &RegionScope) -> Listed<HaService> {
        let list = self.services.list().set_project(&scope.project).set_region(&scope.region);
        let all = list!(self, "compute.regionBackendServices.list", list);
        let read = |service: model::BackendService| {
            let (path, ours) =
                (parse::path(service.self_link.as_deref()), is_ours(service.name.as_deref()));
            let service = parse::service(service);
            (service.fast || ours).then_some((path, service))
        };
        Ok(all.into_iter().filter_map(read).collect())
    }

    /// Those that have a name of ours.
    pub(super) async fn list_rules(&self, scope: &RegionScope) -> Listed<GceRule> {
        let list = self.rules.list().set_project(&scope.project).set_region(&scope.region);
        let all = list!(self, "compute.forwardingRules.list", list);
        let ours = all.into_iter().filter(|rule| is_ours(rule.name.as_deref()));
        Ok(ours.map(|rule| (parse::path(rule.self_link.as_deref()), parse::rule(rule))).collect())
    }

    /// Those that have a name of ours.
    pub(super) async fn list_targets(&self, scope: &RegionScope, zone: &str) -> Listed<GceTarget> {
        let list = self.targets.list().set_project(&scope.project).set_zone(zone);
        let all = list!(self, "compute.targetInstances.list", list);
        let ours = all.into_iter().filter(|target| is_ours(target.name.as_deref()));
        Ok(ours.map(|it| (parse::path(it.self_link.as_deref()), parse::target(it))).collect())
    }

    /// Those that have a name of ours, with their endpoints.
    pub(super) async fn list_groups(
        &self,
        scope: &RegionScope,
        zone: &str,
    ) -> Listed<EndpointGroup> {
        let project = &scope.project;
        let list = self.groups.list().set_project(project).set_zone(zone);
        let mut groups = Vec::new();
        for group in list!(self, "compute.networkEndpointGroups.list", list) {
            let Some(name) = group.name.as_deref().filter(|name| name.starts_with(OURS)) else {
                continue;
            };
            let list = self.groups.list_network_endpoints();
            let list = list.set_project(project).set_zone(zone).set_network_endpoint_group(name);
            let list = list.set_body(model::NetworkEndpointGroupsListEndpointsRequest::new());
            let Some(endpoints) = self.endpoints(list).await? else { continue };
            let instance = |one: model::NetworkEndpointWithHealthStatus| {
                let instance = one.network_endpoint?.instance?;
                Some(parse::instance_path(&instance, project, zone))
            };
            let read = EndpointGroup {
                description: group.description.clone().unwrap_or_default(),
                endpoints: endpoints.into_iter().filter_map(instance).collect(),
            };
            groups.push((parse::path(group.self_link.as_deref()), read));
        }
        Ok(groups)
    }

    /// `None`: the group has been deleted since it was listed.
    async fn endpoints(
        &self,
        list: ListNetworkEndpoints,
    ) -> Result<Option<Vec<model::NetworkEndpointWithHealthStatus>>, GceFailure> {
        let endpoints =
            async { Ok(list!(self, "compute.networkEndpointGroups.listNetworkEndpoints", list)) };
        match endpoints.await {
            Ok(endpoints) => Ok(Some(endpoints)),
            Err(GceFailure { class: ErrorClass::NotFound, .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// `None` where it does not exist.
    pub(super) async fn get_subnetwork(
        &self,
        path: &ResourcePath,
    ) -> Result<Option<GceSubnetwork>, GceFailure> {
        let part = |collection| path.part(collection).unwrap_or_default();
        let get = self.subnetworks.get().set_project(part("projects"));
        let get = get.set_region(part("regions")).set_subnetwork(path.name());
        match self.answer("compute.subnetworks.get", get.send()).await {
            Ok(subnetwork) => Ok(parse::subnetwork(&subnetwork)),
            Err(failure) if failure.class == ErrorClass::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

fn is_ours(name: Option<&str>) -> bool {
    name.is_some_and(|name| name.starts_with(OURS))
}
