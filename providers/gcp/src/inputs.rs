//! What a decision rests on: a read, and the nodes by what the cluster calls them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use egret_core::model::{Attachment, NodeName};
use egret_ports::error::ErrorClass;
use egret_ports::provider::{Inventory, NodeCapacity};
use ipnet::{IpNet, Ipv4Net};

use crate::names::{self, RegionScope, ResourcePath};
use crate::snapshot::{GceInstance, GceSnapshot, HaService, StaticAddress};

/// Backend services with `fastIPMove` of one network and region.
pub(crate) const MOST_SERVICES: usize = 64;
/// Endpoints of one such service.
pub(crate) const MOST_ENDPOINTS: usize = 32;

/// Why something cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GceRefusal {
    pub class: ErrorClass,
    pub message: String,
}

impl GceRefusal {
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

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
        let instance = self.view.instances.get(&path);
        let instance = instance.ok_or_else(|| missing(format!("{path} does not run")))?;
        Ok((path, instance))
    }

    /// The address at the node, if it can be there.
    pub fn place(&self, address: IpAddr, node: &NodeName) -> Result<HaPlace<'a>, GceRefusal> {
        let (instance, at) = self.target(node)?;
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
            return Err(GceRefusal::new(ErrorClass::Conflict, used));
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

    /// Egret's own service of an address, wherever it is: the first by name.
    pub fn service_of(&self, address: IpAddr) -> Option<(&'a ResourcePath, &'a HaService)> {
        let mut all = self.view.services.iter();
        all.find(|(path, service)| own_address(path, service) == Some(address))
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
        let (_, at) = self.target(node).ok()?;
        let fits = |address: &&IpAddr| self.place(**address, node).is_ok();
        let can_serve = asked.iter().filter(fits).copied().collect();
        let free = MOST_SERVICES.saturating_sub(self.services_beside(at));
        Some(NodeCapacity { free: u32::try_from(free).unwrap_or(0), can_serve, refused: None })
    }

    /// How many services with `fastIPMove` the instance's network and region have, whoever made them.
    pub fn services_beside(&self, at: &GceInstance) -> usize {
        let beside = |(path, service): &(&ResourcePath, &HaService)| {
            service.fast
                && path.part("regions") == Some(&at.scope.region)
                && service.network.as_ref() == Some(&at.network)
        };
        self.view.services.iter().filter(beside).count()
    }

    /// The nodes' instances, and the projects and regions that they are in.
    pub fn scopes(
        inventory: &Inventory,
    ) -> (BTreeMap<ResourcePath, RegionScope>, BTreeSet<RegionScope>) {
        let instances: BTreeMap<ResourcePath, RegionScope> = inventory
            .nodes
            .values()
            .filter_map(|id| names::instance_of_provider_id(id))
            .filter_map(|path| Some((path.clone(), names::scope_of(&path)?)))
            .collect();
        let scopes = instances.values().cloned().collect();
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

/// The instance of an interface, as attachments name it.
fn instance_of(interface: &str) -> Option<ResourcePath> {
    interface.rsplit_once('/').map(|(instance, _)| ResourcePath::new(instance))
}

/// The API does not say it: an interface's MAC address is 42:01 and its internal IPv4 address. [infer]
fn mac_of(v4: Ipv4Addr) -> String {
    let [a, b, c, d] = v4.octets();
    format!("42:01:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}
