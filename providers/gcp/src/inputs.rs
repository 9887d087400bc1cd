//! What a decision rests on: a read, and the nodes by what the cluster calls them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use egret_core::model::{Attachment, NodeName};
use egret_ports::error::ErrorClass;
use egret_ports::provider::{Inventory, NodeCapacity};
use ipnet::{IpNet, Ipv4Net};

use crate::names::{self, RegionScope, ResourcePath};
use crate::refusal::GceRefusal;
use crate::snapshot::{GceInstance, GceSnapshot, HaRule, HaService, StaticAddress};

/// Backend services with `fastIPMove` of one network and region.
const MOST_SERVICES: usize = 64;
/// Endpoints of one such service.
pub(crate) const MOST_ENDPOINTS: usize = 32;

/// Everything that a decision may read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GceInputs<'a> {
    pub view: &'a GceSnapshot,
    pub inventory: &'a Inventory,
}

/// An egress address at a node: the objects that carry it there, whether they exist or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HaPlace<'a> {
    pub instance: ResourcePath,
    pub at: &'a GceInstance,
    pub address: &'a StaticAddress,
    pub service: ResourcePath,
    pub rule: ResourcePath,
    pub group: ResourcePath,
}

impl<'a> GceInputs<'a> {
    /// The instance of a node.
    pub fn target(&self, node: &NodeName) -> Result<(ResourcePath, &'a GceInstance), GceRefusal> {
        let missing = |why: String| GceRefusal::new(ErrorClass::NotFound, why);
        let Some(id) = self.inventory.nodes.get(node) else {
            return Err(missing(format!("the cluster has no node {node}")));
        };
        let path = names::instance_of_provider_id(id).ok_or_else(|| {
            missing(format!(
                "spec.providerID of {node} is \"{id}\", not gce://PROJECT/ZONE/NAME: the node is not \
                 an instance of Compute Engine, or its cloud controller manager has not said so"
            ))
        })?;
        let scope = names::scope_of(&path);
        if let Some(refusal) = scope.and_then(|scope| self.view.unreadable.get(&scope)) {
            return Err(refusal.clone());
        }
        let instance = self.view.instances.get(&path);
        let instance = instance.ok_or_else(|| missing(format!("{path} does not run")))?;
        Ok((path, instance))
    }

    /// The address at the node, if it can be there.
    pub fn place(&self, address: IpAddr, node: &NodeName) -> Result<HaPlace<'a>, GceRefusal> {
        let (instance, at) = self.target(node)?;
        if address.is_ipv6() {
            let later =
                "IPv6 addresses of Google Cloud are not served yet: take it out of the pool";
            return Err(GceRefusal::new(ErrorClass::Invalid, later));
        }
        let reserved = self.reserved(address, at, node)?;
        let name = names::of_address(address, &at.network);
        let service = at.scope.path("backendServices", &name);
        let rule = at.scope.path("forwardingRules", &name);
        let group = group_of(at);
        if let Some(other) = reserved.users.iter().find(|user| **user != rule) {
            let used = format!(
                "{} is used by {other}: take it away there, or take the address out of the pool",
                reserved.path
            );
            return Err(GceRefusal::new(ErrorClass::Invalid, used));
        }
        Ok(HaPlace { instance, at, address: reserved, service, rule, group })
    }

    fn reserved(
        &self,
        address: IpAddr,
        at: &GceInstance,
        node: &NodeName,
    ) -> Result<&'a StaticAddress, GceRefusal> {
        let RegionScope { project, region } = &at.scope;
        let all = self.view.addresses.get(&address).map(Vec::as_slice).unwrap_or_default();
        if all.is_empty() {
            let reserve = format!(
                "no static address {address} is reserved in the gateways' projects and regions: reserve \
                 it in project {project}, region {region}, or take it out of the pool"
            );
            return Err(GceRefusal::new(ErrorClass::NotFound, reserve));
        }
        let here = |one: &&StaticAddress| {
            let subnetwork = one.subnetwork.as_ref().and_then(|at| self.view.subnetworks.get(at));
            let network = subnetwork.is_none_or(|subnetwork| subnetwork.network == at.network);
            one.scope == at.scope && network && (one.subnetwork.is_none() || subnetwork.is_some())
        };
        all.iter().find(here).ok_or_else(|| {
            let reserved: Vec<&str> = all.iter().map(|one| one.path.as_str()).collect();
            let wrong = format!(
                "{} cannot be at {node}, which is in project {project}, region {region}, network {}",
                reserved.join(", "),
                at.network.name()
            );
            GceRefusal::new(ErrorClass::Invalid, wrong)
        })
    }

    /// Egret's own service of an address in a network of this cluster's nodes. Another cluster may have
    /// the same internal address in another network.
    pub fn service_of(&self, address: IpAddr) -> Option<(&'a ResourcePath, &'a HaService)> {
        let mut all = self.view.services.iter();
        all.find(|(path, service)| {
            own_address(path, service) == Some(address) && self.is_of_this_cluster(service)
        })
    }

    fn is_of_this_cluster(&self, service: &HaService) -> bool {
        let mut instances = self.view.instances.values();
        let network = instances.any(|at| service.network.as_ref() == Some(&at.network));
        network || service.leader.as_ref().is_some_and(|leader| self.node_of(leader).is_some())
    }

    /// What has the name of Egret's and is not, or leads elsewhere: changed by nobody but its maker.
    pub fn taken(&self, place: &HaPlace<'_>, address: IpAddr) -> Option<GceRefusal> {
        let wanted = names::description_of_address(address);
        let others = |path: &ResourcePath| {
            let taken = format!("{path} exists and Egret did not make it: delete it, or rename it");
            Some(GceRefusal::new(ErrorClass::Invalid, taken))
        };
        let service = self.view.services.get(&place.service);
        if service.is_some_and(|service| service.description != wanted) {
            return others(&place.service);
        }
        let own = |rule: &HaRule| {
            rule.description == wanted && rule.service.as_ref() == Some(&place.service)
        };
        if self.view.rules.get(&place.rule).is_some_and(|rule| !own(rule)) {
            return others(&place.rule);
        }
        let leader = service?.leader.as_ref()?;
        let stranger = self.node_of(leader).is_none() && !self.view.gone.contains(leader);
        stranger.then(|| {
            let held = format!(
                "{leader} has it by {}, and is no node of this cluster: take the address out of its \
                 pool there, or out of this one",
                place.service
            );
            GceRefusal::new(ErrorClass::Invalid, held)
        })
    }

    /// The network and region have as many services as Google allows, and this would be another one.
    pub fn too_many_services(&self, place: &HaPlace<'_>) -> Option<GceRefusal> {
        let another = !self.view.services.contains_key(&place.service);
        (another && self.services_beside(place.at) >= MOST_SERVICES).then(|| {
            let full = format!(
                "network {} has {MOST_SERVICES} backend services with fastIPMove in {}, which is \
                 Google's limit: use fewer addresses there",
                place.at.network.name(),
                place.at.scope.region
            );
            GceRefusal::new(ErrorClass::Quota, full)
        })
    }

    /// Why it is not known where an address is that was at a node: its region could not be read.
    pub fn unread_attachment(&self) -> Option<&'a GceRefusal> {
        let recorded = self.inventory.addresses.values().flat_map(BTreeMap::values);
        let mut scopes = recorded.filter_map(|at| scope_of_interface(at.interface.as_deref()?));
        scopes.find_map(|scope| self.view.unreadable.get(&scope))
    }

    /// Whose instance it is: by the Nodes, else by what statuses say of nodes that are gone.
    pub fn node_of(&self, instance: &ResourcePath) -> Option<NodeName> {
        let living = self
            .inventory
            .nodes
            .iter()
            .find(|(_, id)| names::instance_of_provider_id(id).as_ref() == Some(instance));
        let recorded = || {
            let all = self.inventory.addresses.values().flatten();
            all.clone().find(|(_, at)| {
                at.interface.as_deref().and_then(instance_of) == Some(instance.clone())
            })
        };
        living.map(|(node, _)| node).or_else(|| recorded().map(|(node, _)| node)).cloned()
    }

    /// Where Google delivers the address by its own settings.
    pub fn attachment(&self, address: IpAddr) -> Option<Attachment> {
        let (path, service) = self.service_of(address)?;
        let rule = self.view.rules.values().find(|rule| rule.service.as_ref() == Some(path))?;
        let leader = service.leader.as_ref().filter(|_| rule.address == Some(address))?;
        let node = self.node_of(leader)?;
        let at = self.view.instances.get(leader);
        Some(self.attachment_of(&node, leader, at, address))
    }

    /// How the address is at a node, or would be.
    pub fn attachment_of(
        &self,
        node: &NodeName,
        instance: &ResourcePath,
        at: Option<&GceInstance>,
        address: IpAddr,
    ) -> Attachment {
        let attachment = Attachment {
            interface: Some(format!("{instance}/nic0")),
            ..Attachment::at(node.clone())
        };
        let Some(at) = at else { return attachment };
        let reserved = self.view.addresses.get(&address);
        let reserved = reserved.and_then(|all| all.iter().find(|one| one.scope == at.scope));
        let subnetwork = self.view.subnetworks.get(&at.subnetwork);
        let own = subnetwork.and_then(|it| Ipv4Net::new(at.v4, it.range.prefix_len()).ok());
        Attachment {
            interface: Some(format!("{instance}/{}", at.interface)),
            mac: Some(mac_of(at.v4)),
            allocation: reserved.map(|one| one.path.name().to_owned()),
            next_hop: subnetwork.map(|it| it.gateway.into()).filter(|_| address.is_ipv4()),
            primary_address: own.map(IpNet::V4),
            ..attachment
        }
    }

    /// What a node can serve; `None` where Google does not know it.
    pub fn capacity(&self, node: &NodeName, asked: &BTreeSet<IpAddr>) -> Option<NodeCapacity> {
        if let Err(refusal) = self.target(node) {
            let refused = Some(refusal.message);
            let known = refusal.class != ErrorClass::NotFound;
            return known.then(|| NodeCapacity { refused, ..NodeCapacity::default() });
        }
        let refusal = |address: &IpAddr| match self.place(*address, node) {
            Err(refusal) => Some(refusal),
            Ok(place) => self.taken(&place, *address).or_else(|| self.too_many_services(&place)),
        };
        let can_serve =
            asked.iter().filter(|address| refusal(address).is_none()).copied().collect();
        let unknown = |address: &&IpAddr| !self.view.addresses.contains_key(*address);
        let nothing = !asked.is_empty() && asked.iter().all(|address| unknown(&address));
        let refused = asked.iter().filter(|_| nothing).find_map(refusal);
        let refused = refused.map(|refusal| refusal.message);
        Some(NodeCapacity { free: u32::MAX, can_serve, refused })
    }

    /// How many services with `fastIPMove` the instance's network and region have, whoever made them.
    fn services_beside(&self, at: &GceInstance) -> usize {
        let beside = |(path, service): &(&ResourcePath, &HaService)| {
            service.fast
                && path.part("regions") == Some(&at.scope.region)
                && service.network.as_ref() == Some(&at.network)
        };
        self.view.services.iter().filter(beside).count()
    }

    /// The nodes' instances, and the projects and regions that they, and nodes that are gone, are in.
    pub fn scopes(
        inventory: &Inventory,
    ) -> (BTreeMap<ResourcePath, RegionScope>, BTreeSet<RegionScope>) {
        let instances: BTreeMap<ResourcePath, RegionScope> = inventory
            .nodes
            .values()
            .filter_map(|id| names::instance_of_provider_id(id))
            .filter_map(|path| Some((path.clone(), names::scope_of(&path)?)))
            .collect();
        let recorded = inventory.addresses.values().flat_map(BTreeMap::values);
        let recorded = recorded.filter_map(|at| scope_of_interface(at.interface.as_deref()?));
        let scopes = instances.values().cloned().chain(recorded).collect();
        (instances, scopes)
    }
}

/// The address of a service that Egret made: by name and description.
pub(crate) fn own_address(path: &ResourcePath, service: &HaService) -> Option<IpAddr> {
    let address = names::described_address(&service.description)?;
    let name = names::of_address(address, service.network.as_ref()?);
    (name == path.name()).then_some(address)
}

/// The group of an instance's zone and subnetwork.
pub(crate) fn group_of(at: &GceInstance) -> ResourcePath {
    at.scope.zonal(&at.zone, "networkEndpointGroups", &names::of_group(&at.subnetwork))
}

/// Where an interface is, as attachments name it.
pub(crate) fn scope_of_interface(interface: &str) -> Option<RegionScope> {
    names::scope_of(&instance_of(interface)?)
}

/// The instance of an interface, as attachments name it.
fn instance_of(interface: &str) -> Option<ResourcePath> {
    interface.rsplit_once('/').map(|(instance, _)| ResourcePath::new(instance))
}

/// The API does not say it: an interface's MAC address is 42:01 and its internal IPv4 address. [infer]
fn mac_of(v4: Ipv4Addr) -> String {
    let [a, b, c, d] = v4.octets();
    format!("42:01:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}
