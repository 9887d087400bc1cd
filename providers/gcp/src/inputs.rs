//! What a decision rests on: a read, and the nodes by what the cluster calls them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use egret_core::model::{Attachment, NodeName};
use egret_ports::error::ErrorClass;
use egret_ports::provider::Inventory;
use ipnet::{IpNet, Ipv4Net};

use crate::names::{self, RegionScope, ResourcePath};
use crate::refusal::GceRefusal;
use crate::snapshot::{GceInstance, GceSnapshot, StaticAddress};
use crate::step::GceStep;

/// Everything that a decision may read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GceInputs<'a> {
    pub view: &'a GceSnapshot,
    pub inventory: &'a Inventory,
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
        if let Some(refusal) = self.view.unread(&path) {
            return Err(refusal.clone());
        }
        if path.name().starts_with(AUTOPILOT) {
            let autopilot = format!(
                "{path} is a node of GKE Autopilot, which runs no privileged agents: use GKE Standard"
            );
            return Err(GceRefusal::new(ErrorClass::Invalid, autopilot));
        }
        let instance = self.view.instances.get(&path).filter(|instance| instance.running);
        let instance = instance.ok_or_else(|| missing(format!("{path} does not run")))?;
        Ok((path, instance))
    }

    /// Why no IPv6 address can be at any node.
    pub fn no_v6(&self) -> GceRefusal {
        let later = "IPv6 addresses of Google Cloud are not served yet: take it out of the pool";
        GceRefusal::new(ErrorClass::Invalid, later)
    }

    /// The reservation of the address by which it can be at the node.
    pub fn reserved(
        &self,
        address: IpAddr,
        at: &GceInstance,
        node: &NodeName,
    ) -> Result<&'a StaticAddress, GceRefusal> {
        if address.is_ipv6() {
            return Err(self.no_v6());
        }
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

    /// An instance that exists and is no node of this cluster.
    pub fn is_stranger(&self, instance: &ResourcePath) -> bool {
        self.node_of(instance).is_none() && !self.view.gone.contains(instance)
    }

    /// Why it is not known where an address is that was at a node: what is there could not be read. Of an
    /// address whose status names no node only all regions together say that it is nowhere.
    pub fn unread_of(&self, address: IpAddr) -> Option<&'a GceRefusal> {
        let recorded = self.inventory.addresses.get(&address).filter(|all| !all.is_empty());
        let Some(recorded) = recorded else {
            let zones = self.view.unreadable_zones.values();
            return self.view.unreadable.values().chain(zones).next();
        };
        let mut recorded = recorded.values().filter_map(|at| instance_of(at.interface.as_deref()?));
        recorded.find_map(|instance| self.view.unread(&instance))
    }

    /// Why it is not known where any address is that was at a node.
    pub fn unread_attachment(&self) -> Option<&'a GceRefusal> {
        let mut addresses = self.inventory.addresses.iter().filter(|(_, all)| !all.is_empty());
        addresses.find_map(|(address, _)| self.unread_of(*address))
    }

    /// The instance of a node, also of one that is gone and has the address by its status.
    pub fn instance_at(&self, address: IpAddr, node: &NodeName) -> Option<ResourcePath> {
        let living = self.inventory.nodes.get(node);
        let living = living.and_then(|id| names::instance_of_provider_id(id));
        let recorded = || self.inventory.addresses.get(&address)?.get(node)?.interface.as_deref();
        living.or_else(|| instance_of(recorded()?))
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

    /// How the address is at a node, or would be.
    pub fn attachment_of(
        &self,
        node: &NodeName,
        instance: &ResourcePath,
        address: IpAddr,
    ) -> Attachment {
        let attachment = Attachment {
            interface: Some(format!("{instance}/nic0")),
            ..Attachment::at(node.clone())
        };
        let Some(at) = self.view.instances.get(instance) else { return attachment };
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

    /// The instances of nodes, with `recorded` also those that hold an address by its status; and the
    /// projects and regions of all of them.
    pub fn scopes(
        inventory: &Inventory,
        recorded: bool,
    ) -> (BTreeMap<ResourcePath, RegionScope>, BTreeSet<RegionScope>) {
        let with_scope = |path: ResourcePath| Some((path.clone(), names::scope_of(&path)?));
        let ids = inventory.nodes.values();
        let mut instances: BTreeMap<ResourcePath, RegionScope> =
            ids.filter_map(|id| with_scope(names::instance_of_provider_id(id)?)).collect();
        let held = inventory.addresses.values().flat_map(BTreeMap::values);
        let held: BTreeMap<ResourcePath, RegionScope> =
            held.filter_map(|at| with_scope(instance_of(at.interface.as_deref()?)?)).collect();
        let scopes = instances.values().chain(held.values()).cloned().collect();
        if recorded {
            instances.extend(held);
        }
        (instances, scopes)
    }
}

/// Nothing of the address was found: it is nowhere, unless something could not be read or is under way.
pub(crate) fn nothing_known(inputs: &GceInputs<'_>, address: IpAddr) -> GceStep<()> {
    if let Some(refusal) = inputs.unread_of(address) {
        return GceStep::Refuse(refusal.clone());
    }
    let digits = names::of_address(address, &ResourcePath::new(""));
    let stem = digits.rsplit_once('-').map_or("", |(stem, _)| stem);
    let of_address =
        |path: &&ResourcePath| path.name().rsplit_once('-').is_some_and(|(name, _)| name == stem);
    match inputs.view.busy.iter().any(|path| of_address(&path)) {
        true => GceStep::Wait,
        false => GceStep::Done(()),
    }
}

/// What has a name of Egret's and is not Egret's is changed by nobody but its maker.
pub(crate) fn exists_already(path: &ResourcePath) -> GceRefusal {
    let taken = format!("{path} exists and Egret did not make it: delete it, or rename it");
    GceRefusal::new(ErrorClass::Invalid, taken)
}

/// An address's rule of another mode.
pub(crate) fn another_mode(rule: &ResourcePath, target: &ResourcePath) -> GceRefusal {
    let held = format!(
        "{rule} delivers to {target}: the pool had another mode; end its claims, and make them anew"
    );
    GceRefusal::new(ErrorClass::Invalid, held)
}

/// A reserved address has another use.
pub(crate) fn used_by_another(reserved: &StaticAddress, other: &ResourcePath) -> GceRefusal {
    let used = format!(
        "{} is used by {other}: take it away there, or take the address out of the pool",
        reserved.path
    );
    GceRefusal::new(ErrorClass::Invalid, used)
}

/// How names of nodes of GKE Autopilot begin; those of GKE Standard begin with `gke-`. [infer]
const AUTOPILOT: &str = "gk3-";

/// The instance of an interface, as attachments name it.
fn instance_of(interface: &str) -> Option<ResourcePath> {
    interface.rsplit_once('/').map(|(instance, _)| ResourcePath::new(instance))
}

/// The API does not say it: an interface's MAC address is 42:01 and its internal IPv4 address. [infer]
fn mac_of(v4: Ipv4Addr) -> String {
    let [a, b, c, d] = v4.octets();
    format!("42:01:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}
