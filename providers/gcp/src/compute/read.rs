//! Reads: what is there, as values.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_ports::error::ErrorClass;
use google_cloud_compute_v1::builder::network_endpoint_groups::ListNetworkEndpoints;
use google_cloud_compute_v1::model;
use google_cloud_compute_v1::model::backend_service_ha_policy::FastIpmove;
use google_cloud_gax::paginator::ItemPaginator as _;

use super::Compute;
use crate::errors::GceFailure;
use crate::inputs::own_address;
use crate::names::{OURS, RegionScope, ResourcePath};
use crate::refusal::GceRefusal;
use crate::snapshot::{
    EndpointGroup, GceInstance, GceSnapshot, GceSubnetwork, HaRule, HaService, StaticAddress,
};

/// What is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadScope {
    /// The nodes' instances.
    pub instances: BTreeMap<ResourcePath, RegionScope>,
    pub scopes: BTreeSet<RegionScope>,
    /// Projects and zones.
    pub zones: BTreeSet<(String, String)>,
}

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

impl Compute {
    /// Everything that decisions rest on. A project and region that cannot be read keeps no other from
    /// being read.
    ///
    /// # Errors
    /// Whatever is no matter of one project and region; where there is only one, why it cannot be read.
    pub async fn read(&self, what: &ReadScope) -> Result<GceSnapshot, GceFailure> {
        let mut view = GceSnapshot::default();
        for scope in &what.scopes {
            match self.read_scope(what, scope, &mut view).await {
                Err(mut failure) if failure.is_of_its_scope() => {
                    if failure.class == ErrorClass::NotFound {
                        failure.class = ErrorClass::Invalid;
                    }
                    if what.scopes.len() == 1 {
                        return Err(failure);
                    }
                    let refusal = GceRefusal::new(failure.class, failure.to_string());
                    view.unreadable.insert(scope.clone(), refusal);
                }
                result => result?,
            }
        }
        let of_addresses = view.addresses.values().flatten().filter_map(|it| it.subnetwork.clone());
        for path in of_addresses.collect::<BTreeSet<_>>() {
            // Somebody else's may be no business of this account.
            match self.read_subnetwork(&path, &mut view).await {
                Err(failure) if failure.class == ErrorClass::Denied => {}
                result => result?,
            }
        }
        self.read_leaders(&mut view).await?;
        Ok(view)
    }

    /// Operations are read first: what ends meanwhile shows in what is read after it.
    async fn read_scope(
        &self,
        what: &ReadScope,
        scope: &RegionScope,
        view: &mut GceSnapshot,
    ) -> Result<(), GceFailure> {
        let here = |(project, zone): &&(String, String)| {
            let region = zone.rsplit_once('-').map(|(region, _)| region);
            *project == scope.project && region == Some(&scope.region)
        };
        let zones: Vec<&(String, String)> = what.zones.iter().filter(here).collect();
        self.read_region_operations(scope, view).await?;
        for zone in &zones {
            self.read_zone_operations(zone, view).await?;
        }
        for (path, _) in what.instances.iter().filter(|(_, at)| *at == scope) {
            if let Some(instance) = self.read_instance(path, scope).await? {
                view.instances.insert(path.clone(), instance);
            }
        }
        self.read_addresses(scope, view).await?;
        self.read_services(scope, view).await?;
        self.read_rules(scope, view).await?;
        for zone in &zones {
            self.read_groups(zone, view).await?;
        }
        let subnetworks = view.instances.values().filter(|at| at.scope == *scope);
        let subnetworks: BTreeSet<ResourcePath> =
            subnetworks.map(|at| at.subnetwork.clone()).collect();
        for path in subnetworks {
            self.read_subnetwork(&path, view).await?;
        }
        Ok(())
    }

    /// Leaders that no Node stands for: do they exist?
    async fn read_leaders(&self, view: &mut GceSnapshot) -> Result<(), GceFailure> {
        let own = view.services.iter().filter(|(path, it)| own_address(path, it).is_some());
        let leaders: BTreeSet<ResourcePath> = own.filter_map(|(_, it)| it.leader.clone()).collect();
        for leader in leaders.into_iter().filter(|it| !view.instances.contains_key(it)) {
            let part = |collection| leader.part(collection).unwrap_or_default();
            let get = self.instances.get().set_project(part("projects")).set_zone(part("zones"));
            let get = get.set_instance(leader.name());
            match self.answer("compute.instances.get", get.send()).await {
                Err(failure) if failure.class == ErrorClass::NotFound => {
                    view.gone.insert(leader.clone());
                }
                Err(failure) if failure.class != ErrorClass::Denied => return Err(failure),
                _ => {}
            }
        }
        Ok(())
    }

    async fn read_region_operations(
        &self,
        scope: &RegionScope,
        view: &mut GceSnapshot,
    ) -> Result<(), GceFailure> {
        let list = self.region_operations.list();
        let list = list.set_project(&scope.project).set_region(&scope.region).set_filter(UNDER_WAY);
        let operations = list!(self, "compute.regionOperations.list", list);
        view.busy.extend(operations.iter().filter_map(target));
        Ok(())
    }

    async fn read_zone_operations(
        &self,
        (project, zone): &(String, String),
        view: &mut GceSnapshot,
    ) -> Result<(), GceFailure> {
        let list = self.zone_operations.list();
        let list = list.set_project(project).set_zone(zone).set_filter(UNDER_WAY);
        let operations = list!(self, "compute.zoneOperations.list", list);
        view.busy.extend(operations.iter().filter_map(target));
        Ok(())
    }

    async fn read_instance(
        &self,
        path: &ResourcePath,
        scope: &RegionScope,
    ) -> Result<Option<GceInstance>, GceFailure> {
        let zone = path.part("zones").unwrap_or_default();
        let get = self.instances.get();
        let get = get.set_project(&scope.project).set_zone(zone).set_instance(path.name());
        match self.answer("compute.instances.get", get.send()).await {
            Ok(instance) => Ok(instance_of(&instance, zone, scope)),
            Err(failure) if failure.class == ErrorClass::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn read_addresses(
        &self,
        scope: &RegionScope,
        view: &mut GceSnapshot,
    ) -> Result<(), GceFailure> {
        let list = self.addresses.list().set_project(&scope.project).set_region(&scope.region);
        for address in list!(self, "compute.addresses.list", list) {
            let text = address.address.as_deref().unwrap_or_default();
            let Ok(ip) = text.parse::<IpAddr>() else { continue };
            view.addresses.entry(ip).or_default().push(StaticAddress {
                path: path(address.self_link.as_deref()),
                scope: scope.clone(),
                subnetwork: address.subnetwork.as_deref().map(ResourcePath::new),
                standard_tier: address.network_tier == Some(model::address::NetworkTier::Standard),
                labels: address.labels.into_iter().collect(),
                users: address.users.iter().map(|user| ResourcePath::new(user)).collect(),
            });
        }
        Ok(())
    }

    async fn read_services(
        &self,
        scope: &RegionScope,
        view: &mut GceSnapshot,
    ) -> Result<(), GceFailure> {
        let list = self.services.list().set_project(&scope.project).set_region(&scope.region);
        for service in list!(self, "compute.regionBackendServices.list", list) {
            let policy = service.ha_policy.as_ref();
            let fast = policy.is_some_and(|it| it.fast_ip_move == Some(FastIpmove::GarpRa));
            let ours = service.name.as_deref().is_some_and(|name| name.starts_with(OURS));
            if !fast && !ours {
                continue;
            }
            let leader = policy.and_then(|policy| policy.leader.as_ref()).and_then(leader_of);
            let read = HaService {
                fast,
                network: service.network.as_deref().map(ResourcePath::new),
                description: service.description.unwrap_or_default(),
                fingerprint: service.fingerprint.map(|it| it.to_vec()).unwrap_or_default(),
                groups: service
                    .backends
                    .iter()
                    .filter_map(|backend| backend.group.as_deref().map(ResourcePath::new))
                    .collect(),
                leader,
            };
            view.services.insert(path(service.self_link.as_deref()), read);
        }
        Ok(())
    }

    async fn read_rules(
        &self,
        scope: &RegionScope,
        view: &mut GceSnapshot,
    ) -> Result<(), GceFailure> {
        let list = self.rules.list().set_project(&scope.project).set_region(&scope.region);
        for rule in list!(self, "compute.forwardingRules.list", list) {
            if !rule.name.as_deref().is_some_and(|name| name.starts_with(OURS)) {
                continue;
            }
            // An IPv6 rule has a range.
            let address = rule.ip_address.as_deref().and_then(|text| text.split('/').next());
            let read = HaRule {
                description: rule.description.unwrap_or_default(),
                address: address.and_then(|text| text.parse().ok()),
                service: rule.backend_service.as_deref().map(ResourcePath::new),
            };
            view.rules.insert(path(rule.self_link.as_deref()), read);
        }
        Ok(())
    }

    async fn read_groups(
        &self,
        (project, zone): &(String, String),
        view: &mut GceSnapshot,
    ) -> Result<(), GceFailure> {
        let list = self.groups.list().set_project(project).set_zone(zone);
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
                Some(instance_path(&instance, project, zone))
            };
            let read = EndpointGroup {
                description: group.description.clone().unwrap_or_default(),
                endpoints: endpoints.into_iter().filter_map(instance).collect(),
            };
            view.groups.insert(path(group.self_link.as_deref()), read);
        }
        Ok(())
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

    async fn read_subnetwork(
        &self,
        path: &ResourcePath,
        view: &mut GceSnapshot,
    ) -> Result<(), GceFailure> {
        let part = |collection| path.part(collection).unwrap_or_default();
        let get = self.subnetworks.get().set_project(part("projects"));
        let get = get.set_region(part("regions")).set_subnetwork(path.name());
        let subnetwork = match self.answer("compute.subnetworks.get", get.send()).await {
            Ok(subnetwork) => subnetwork,
            Err(failure) if failure.class == ErrorClass::NotFound => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let range = subnetwork.ip_cidr_range.as_deref().and_then(|text| text.parse().ok());
        let gateway = subnetwork.gateway_address.as_deref().and_then(|text| text.parse().ok());
        let network = subnetwork.network.as_deref().map(ResourcePath::new);
        if let (Some(range), Some(gateway), Some(network)) = (range, gateway, network) {
            view.subnetworks.insert(path.clone(), GceSubnetwork { network, range, gateway });
        }
        Ok(())
    }
}

/// Of operations.
const UNDER_WAY: &str = "status != \"DONE\"";

/// What an operation that has not ended is on.
fn target(operation: &model::Operation) -> Option<ResourcePath> {
    let done = operation.status == Some(model::operation::Status::Done);
    operation.target_link.as_deref().filter(|_| !done).map(ResourcePath::new)
}

fn path(self_link: Option<&str>) -> ResourcePath {
    ResourcePath::new(self_link.unwrap_or_default())
}

/// An instance by URL, or by its name beside its group.
fn instance_path(instance: &str, project: &str, zone: &str) -> ResourcePath {
    if instance.contains('/') {
        ResourcePath::new(instance)
    } else {
        ResourcePath::new(&format!("projects/{project}/zones/{zone}/instances/{instance}"))
    }
}

fn leader_of(leader: &model::BackendServiceHAPolicyLeader) -> Option<ResourcePath> {
    let instance = leader.network_endpoint.as_ref()?.instance.as_deref()?;
    let group = ResourcePath::new(leader.backend_group.as_deref().unwrap_or_default());
    let part = |collection| group.part(collection).unwrap_or_default();
    Some(instance_path(instance, part("projects"), part("zones")))
}

/// `None` where it does not run, or has no interface with an address: nothing can be delivered to it.
fn instance_of(instance: &model::Instance, zone: &str, scope: &RegionScope) -> Option<GceInstance> {
    let ended = [
        model::instance::Status::Stopped,
        model::instance::Status::Terminated,
        model::instance::Status::Suspended,
    ];
    if instance.status.as_ref().is_some_and(|status| ended.contains(status)) {
        return None;
    }
    let interface = instance.network_interfaces.first()?;
    Some(GceInstance {
        scope: scope.clone(),
        zone: zone.to_owned(),
        interface: interface.name.clone().unwrap_or_else(|| "nic0".to_owned()),
        network: ResourcePath::new(interface.network.as_deref()?),
        subnetwork: ResourcePath::new(interface.subnetwork.as_deref()?),
        v4: interface.network_ip.as_deref()?.parse().ok()?,
    })
}
