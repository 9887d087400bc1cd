//! Where an address can be: which instance a node is, which interface of it is used, what fits there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use egret_core::model::{Attachment, NodeName};
use egret_ports::error::ErrorClass;
use egret_ports::provider::Inventory;
use ipnet::{IpNet, Ipv4Net};

use crate::cni::{self, CniSigns, managed_message};
use crate::journal::Doubt;
use crate::snapshot::{Ec2Snapshot, Interface};

/// An interface of a node, with its id.
pub(crate) type Target<'a> = (&'a String, &'a Interface);

/// Wire addresses by egress address and node.
pub(crate) type Wires = BTreeMap<(IpAddr, NodeName), BTreeSet<Ipv4Addr>>;

/// Everything that a decision reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlacementInputs<'a> {
    pub view: &'a Ec2Snapshot,
    pub inventory: &'a Inventory,
    pub wires: &'a Wires,
    /// Addresses of which a call has had no answer.
    pub doubts: &'a BTreeMap<IpAddr, Doubt>,
    /// Interfaces that EC2 has called full.
    pub full: &'a BTreeSet<String>,
    /// Interfaces at which addresses may appear by an earlier call of ours.
    pub pending: &'a BTreeSet<String>,
    /// Interfaces at which addresses appear that somebody waits for.
    pub in_flight: &'a BTreeSet<String>,
    /// Slots that calls of other tasks are about to fill, by interface.
    pub reserved: &'a BTreeMap<String, u32>,
    /// Egress addresses that were asked for: a private one is nobody's wire address.
    pub asked: &'a BTreeSet<IpAddr>,
    pub rules: &'a InterfaceRules,
}

/// Which interface of an instance is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceRules {
    /// An interface with all of these tags is Egret's own.
    pub tags: BTreeMap<String, String>,
    /// Use an interface that the VPC CNI manages all the same.
    pub managed: bool,
}

/// Why it cannot be, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unplaceable {
    pub class: ErrorClass,
    pub message: String,
}

impl Unplaceable {
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

/// The instance of a node's `spec.providerID`: `aws:///zone/i-…`, `aws://zone/i-…`, `aws:///i-…`.
pub(crate) fn instance_id(provider_id: &str) -> Option<&str> {
    let rest = provider_id.strip_prefix("aws://")?;
    let id = rest.rsplit('/').next()?;
    let hexadecimal = id.strip_prefix("i-")?;
    let valid =
        !hexadecimal.is_empty() && hexadecimal.bytes().all(|digit| digit.is_ascii_hexdigit());
    valid.then_some(id)
}

impl<'a> PlacementInputs<'a> {
    /// The interfaces of a node that have, or may have, addresses: all tagged ones, in order of their
    /// device index; the primary one, as the last, only where no other is tagged, or where it is tagged and no
    /// other tagged one is in its subnet (a launch template tags all).
    /// Those that a CNI manages are left out; never empty.
    pub fn targets(&self, node: &NodeName) -> Result<Vec<Target<'a>>, Unplaceable> {
        let missing = |what: String| Unplaceable::new(ErrorClass::NotFound, what);
        let provider_id = self.inventory.nodes.get(node);
        let provider_id = provider_id.ok_or_else(|| missing(format!("there is no node {node}")))?;
        let instance = instance_id(provider_id).ok_or_else(|| {
            let wrong = format!(
                "the provider id of node {node} is {provider_id:?}, not aws:///ZONE/i-…: choose a \
                 gateway selector that selects EC2 instances only, or start the node's kubelet \
                 with the cloud provider of AWS"
            );
            Unplaceable::new(ErrorClass::Invalid, wrong)
        })?;
        let attached = self.view.interfaces.iter();
        let mut attached: Vec<_> = attached
            .filter(|(_, interface)| interface.instance.as_deref() == Some(instance))
            .collect();
        attached.sort_by_key(|(id, interface)| (interface.device, *id));
        let tagged = |target: &&Target<'a>| target.1.device != 0 && self.is_own(target.1);
        let mut chosen: Vec<_> = attached.iter().filter(tagged).copied().collect();
        let primary = attached.iter().find(|(_, interface)| interface.device == 0);
        let alone = |(_, primary): &&Target<'a>| {
            let elsewhere = chosen.iter().all(|(_, it)| it.subnet != primary.subnet);
            chosen.is_empty() || (self.is_own(primary) && elsewhere)
        };
        let primary = primary.filter(alone);
        chosen.extend(primary);
        if chosen.is_empty() {
            return Err(missing(format!(
                "there is no instance {instance} (node {node}) with a network interface in this \
                 account and region"
            )));
        }
        self.without_managed(chosen, &attached, instance)
    }

    /// Whether every secondary address there is Egret's: so the tag says.
    pub fn is_own(&self, interface: &Interface) -> bool {
        let has = |(key, value): (&String, &String)| interface.tags.get(key) == Some(value);
        !self.rules.tags.is_empty() && self.rules.tags.iter().all(has)
    }

    /// Those of `chosen`, of one instance, that no CNI manages.
    fn without_managed(
        &self,
        chosen: Vec<Target<'a>>,
        attached: &[Target<'a>],
        instance: &str,
    ) -> Result<Vec<Target<'a>>, Unplaceable> {
        if self.rules.managed {
            return Ok(chosen);
        }
        let all = self.view.interfaces.values().filter(|it| it.instance.is_some());
        let signs = CniSigns {
            seen: all.filter_map(cni::maker).collect(),
            here: attached.iter().filter_map(|(_, it)| cni::maker(it)).collect(),
            instance: self.view.instances.get(instance).cloned().unwrap_or_default(),
        };
        let manager = |it: &Interface| signs.manager(it, self.is_own(it));
        let free = chosen.iter().filter(|(_, it)| manager(it).is_none());
        let free: Vec<_> = free.copied().collect();
        match chosen.iter().find_map(|(id, it)| Some((*id, manager(it)?))) {
            Some((id, owner)) if free.is_empty() => {
                let message = managed_message(id, instance, owner, &self.rules.tags);
                Err(Unplaceable::new(ErrorClass::Invalid, message))
            }
            _ => Ok(free),
        }
    }

    /// The node that an interface belongs to: by its instance, or, where the node is gone, as a
    /// status says. A node that came back as another instance has none of the old one's.
    pub fn node_of(&self, id: &str) -> Option<NodeName> {
        let instance = self.view.interfaces.get(id).and_then(|it| it.instance.as_deref());
        let living =
            self.inventory.nodes.iter().find(|(_, provider_id)| {
                instance.is_some() && instance_id(provider_id) == instance
            });
        if let Some((node, _)) = living {
            return Some(node.clone());
        }
        self.recorded(id).find(|node| !self.inventory.nodes.contains_key(*node)).cloned()
    }

    /// Whether an interface is a node's, or was.
    pub fn is_ours(&self, id: &str) -> bool {
        self.node_of(id).is_some() || self.recorded(id).next().is_some()
    }

    fn recorded<'b>(&'b self, id: &'b str) -> impl Iterator<Item = &'a NodeName> + 'b {
        let recorded = self.inventory.addresses.values().flatten();
        let named = recorded.filter(move |(_, it)| it.interface.as_deref() == Some(id));
        named.map(|(node, _)| node)
    }

    /// Those of `targets` that can have `address`, where they have room; else why none can.
    pub fn fitting(
        &self,
        address: IpAddr,
        targets: &[Target<'a>],
    ) -> Result<Vec<Target<'a>>, Unplaceable> {
        let mut refusal = None;
        let mut fitting = Vec::new();
        for (id, interface) in targets {
            match self.fits(address, id, interface) {
                Ok(()) => fitting.push((*id, *interface)),
                Err(why) => drop(refusal.get_or_insert(why)),
            }
        }
        match refusal {
            Some(why) if fitting.is_empty() => Err(why),
            _ => Ok(fitting),
        }
    }

    /// How many more addresses of a family an interface can take.
    pub fn room(&self, id: &str, v4: bool) -> u32 {
        if v4 && self.full.contains(id) {
            return 0;
        }
        let Some(interface) = self.view.interfaces.get(id) else { return 0 };
        let instance = interface.instance.as_ref().and_then(|id| self.view.instances.get(id));
        let limits = instance.and_then(|instance| self.view.limits.get(&instance.kind));
        let Some(limits) = limits else { return 0 };
        let most = if v4 { limits.v4 } else { limits.v6 };
        let reserved = self.reserved.get(id).copied().filter(|_| v4).unwrap_or_default();
        most.saturating_sub(interface.used(v4)).saturating_sub(reserved)
    }

    /// Whether an interface can have `address` (where it has room), and if not why.
    pub fn fits(
        &self,
        address: IpAddr,
        id: &str,
        interface: &Interface,
    ) -> Result<(), Unplaceable> {
        if let IpAddr::V4(public) = address
            && let Some(elastic) = self.view.elastic.get(&public)
        {
            if let Some(why) = elastic.kind.refusal() {
                return Err(Unplaceable::new(ErrorClass::Invalid, why));
            }
            let group = border_group(&interface.zone);
            return if elastic.border_group.is_empty() || elastic.border_group == group {
                Ok(())
            } else {
                Err(Unplaceable::new(
                    ErrorClass::Invalid,
                    format!(
                        "the Elastic IP is of network border group {}, and interface {id} is in \
                         zone {}: choose gateways in that group's zones",
                        elastic.border_group, interface.zone
                    ),
                ))
            };
        }
        let subnet = self.view.subnets.get(&interface.subnet);
        if subnet.is_some_and(|subnet| subnet.serves(address)) {
            return Ok(());
        }
        if self.view.in_a_subnet(address) {
            let wrong = format!(
                "the address does not belong to subnet {} of interface {id}, or AWS keeps it: \
                 choose gateways in the address's subnet",
                interface.subnet
            );
            return Err(Unplaceable::new(ErrorClass::Invalid, wrong));
        }
        Err(Unplaceable::new(
            ErrorClass::NotFound,
            "it is neither an Elastic IP of this account and region nor in a subnet of a gateway: \
             allocate it, or correct the pool's addresses",
        ))
    }

    /// Where `address` is; `None` where it is nowhere, or at no node.
    pub fn attachment(&self, address: IpAddr) -> Option<Attachment> {
        if let IpAddr::V4(public) = address
            && let Some(elastic) = self.view.elastic.get(&public)
        {
            let at = elastic.association.as_ref()?;
            let node = self.node_of(&at.interface)?;
            return Some(elastic_attachment(node, at.private, &at.interface, &elastic.allocation));
        }
        let (id, _) = self.view.holder(address)?;
        Some(private_attachment(self.node_of(id)?, id))
    }
}

impl PlacementInputs<'_> {
    /// The attachment of `address` with what its node needs to serve it: the interface's hardware
    /// address and own address, and the router of its subnet.
    pub fn with_link(&self, address: IpAddr, attachment: Attachment) -> Attachment {
        let interface = attachment.interface.as_ref();
        let Some(interface) = interface.and_then(|id| self.view.interfaces.get(id)) else {
            return attachment;
        };
        let subnet = self.view.subnets.get(&interface.subnet).and_then(|subnet| subnet.v4);
        // The router of IPv6 announces itself.
        let carries_v4 = attachment.wire.unwrap_or(address).is_ipv4();
        let next_hop = subnet.filter(|_| carries_v4).and_then(router);
        let primary = interface.v4.iter().find(|(_, private)| private.primary);
        let primary_address = primary.zip(subnet).and_then(|((own, _), subnet)| {
            Ipv4Net::new(*own, subnet.prefix_len()).ok().map(IpNet::V4)
        });
        let (mac, next_hop) = (interface.mac.clone(), next_hop.map(IpAddr::V4));
        Attachment { mac, next_hop, primary_address, ..attachment }
    }
}

/// "Reserved by AWS for the VPC router": the base of the IPv4 subnet plus one
/// (<https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html>).
fn router(subnet: Ipv4Net) -> Option<Ipv4Addr> {
    subnet.network().to_bits().checked_add(1).map(Ipv4Addr::from_bits)
}

/// An Elastic IP's attachment.
pub(crate) fn elastic_attachment(
    node: NodeName,
    wire: Ipv4Addr,
    interface: &str,
    allocation: &str,
) -> Attachment {
    Attachment {
        wire: Some(wire.into()),
        interface: Some(interface.into()),
        allocation: Some(allocation.into()),
        ..Attachment::at(node)
    }
}

/// A private address's attachment.
pub(crate) fn private_attachment(node: NodeName, interface: &str) -> Attachment {
    Attachment { interface: Some(interface.into()), ..Attachment::at(node) }
}

/// The network border group of a zone: `us-east-1` of `us-east-1a`, `us-west-2-lax-1` of
/// `us-west-2-lax-1a` (EC2 user guide, "Elastic IP addresses" and "Local Zones").
fn border_group(zone: &str) -> &str {
    zone.trim_end_matches(|letter: char| letter.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instance_is_the_end_of_a_provider_id_of_aws() {
        for (provider_id, instance) in [
            ("aws:///eu-central-1a/i-0123456789abcdef0", Some("i-0123456789abcdef0")),
            ("aws://eu-central-1a/i-0123456789abcdef0", Some("i-0123456789abcdef0")),
            ("aws:///i-0123abcd", Some("i-0123abcd")),
            ("aws:///eu-central-1a/", None),
            ("aws:///eu-central-1a/i-", None),
            ("aws:///eu-central-1a/fargate-ip-10-0-1-2", None),
            ("gce://project/zone/i-0123abcd", None),
            ("i-0123abcd", None),
            ("", None),
        ] {
            assert_eq!(instance_id(provider_id), instance, "{provider_id}");
        }
    }

    #[test]
    fn a_zone_s_border_group_is_its_region_s_or_its_own() {
        assert_eq!(border_group("eu-central-1a"), "eu-central-1");
        assert_eq!(border_group("us-west-2-lax-1a"), "us-west-2-lax-1");
    }

    #[test]
    fn the_router_is_the_first_address_behind_the_subnet_s_own() {
        for (subnet, first) in [("10.0.2.0/24", [10, 0, 2, 1]), ("10.0.2.32/28", [10, 0, 2, 33])] {
            assert_eq!(router(subnet.parse().unwrap()), Some(first.into()), "{subnet}");
        }
    }
}
