//! What was read of Compute Engine, as values.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

use crate::names::{RegionScope, ResourcePath, scope_of};
use crate::refusal::GceRefusal;

/// What one read has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GceSnapshot {
    /// The instances of nodes, also those that do not run.
    pub instances: BTreeMap<ResourcePath, GceInstance>,
    /// The subnetworks of their interfaces.
    pub subnetworks: BTreeMap<ResourcePath, GceSubnetwork>,
    /// Static addresses of the nodes' projects and regions. Two networks may have the same.
    pub addresses: BTreeMap<IpAddr, Vec<StaticAddress>>,
    /// Backend services that have `fastIPMove`, or a name of ours.
    pub services: BTreeMap<ResourcePath, HaService>,
    /// Forwarding rules that have a name of ours.
    pub rules: BTreeMap<ResourcePath, GceRule>,
    /// Target instances that have a name of ours.
    pub targets: BTreeMap<ResourcePath, GceTarget>,
    /// Groups of `GCE_VM_IP` endpoints that have a name of ours.
    pub groups: BTreeMap<ResourcePath, EndpointGroup>,
    /// What an operation is under way on.
    pub busy: BTreeSet<ResourcePath>,
    /// Instances that do not exist any more, of those that Egret's services and targets name.
    pub gone: BTreeSet<ResourcePath>,
    /// Projects and regions that could not be read, and why.
    pub unreadable: BTreeMap<RegionScope, GceRefusal>,
    /// Projects and zones that did not answer, and why.
    pub unreadable_zones: BTreeMap<(String, String), GceRefusal>,
}

impl GceSnapshot {
    /// With what was read of a zone.
    pub fn extend(&mut self, zone: Self) {
        self.busy.extend(zone.busy);
        self.instances.extend(zone.instances);
        self.groups.extend(zone.groups);
        self.targets.extend(zone.targets);
    }

    /// Why nothing is known of what is there: a regional or zonal resource.
    pub fn unread(&self, path: &ResourcePath) -> Option<&GceRefusal> {
        let project = path.part("projects")?.to_owned();
        if let Some(region) = path.part("regions") {
            let region = region.to_owned();
            return self.unreadable.get(&RegionScope { project, region });
        }
        let scope = scope_of(path)?;
        let zone = path.part("zones")?.to_owned();
        let of_zone = || self.unreadable_zones.get(&(project, zone));
        self.unreadable.get(&scope).or_else(of_zone)
    }
}

/// An instance by its first interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GceInstance {
    /// No other machine ever has it, also of the same name.
    pub id: u64,
    pub running: bool,
    pub scope: RegionScope,
    pub zone: String,
    /// `nic0`.
    pub interface: String,
    pub network: ResourcePath,
    pub subnetwork: ResourcePath,
    pub v4: Ipv4Addr,
    /// In Google's order, which means something: the first may be that of a node's pods.
    pub aliases: Vec<AliasRange>,
    /// Of the interface: to be sent with a change, which fails if somebody made one meanwhile.
    pub fingerprint: Vec<u8>,
}

/// An alias range of an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AliasRange {
    /// As Google writes it: a single address may be without its /32.
    pub cidr: String,
    /// The secondary range of the subnetwork that it is of; `None`: the primary one.
    pub name: Option<String>,
}

impl AliasRange {
    /// Of one address.
    pub fn single(address: Ipv4Addr, name: Option<String>) -> Self {
        Self { cidr: Ipv4Net::from(address).to_string(), name }
    }

    /// More than one address.
    pub fn is_wide(&self) -> bool {
        self.range().is_none_or(|range| range.prefix_len() < 32)
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        matches!((self.range(), address), (Some(range), IpAddr::V4(v4)) if range.contains(&v4))
    }

    /// Whether it is the same, however it is written.
    pub fn is_same(&self, other: &Self) -> bool {
        self.range().map_or(*self == *other, |range| other.range() == Some(range))
    }

    fn range(&self) -> Option<Ipv4Net> {
        let single = || self.cidr.parse::<Ipv4Addr>().ok().map(Ipv4Net::from);
        self.cidr.parse().ok().or_else(single)
    }
}

/// A subnetwork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GceSubnetwork {
    pub network: ResourcePath,
    pub range: Ipv4Net,
    /// Its other ranges, by name.
    pub secondary: BTreeMap<String, Ipv4Net>,
    /// Its router.
    pub gateway: Ipv4Addr,
}

/// A reserved address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StaticAddress {
    pub path: ResourcePath,
    pub scope: RegionScope,
    /// `None`: an external address.
    pub subnetwork: Option<ResourcePath>,
    /// Of the network tier STANDARD, not PREMIUM.
    pub standard_tier: bool,
    pub labels: BTreeMap<String, String>,
    /// What uses it.
    pub users: BTreeSet<ResourcePath>,
}

/// A backend service that has `fastIPMove`, or a name of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HaService {
    /// It has `fastIPMove`.
    pub fast: bool,
    pub network: Option<ResourcePath>,
    pub description: String,
    /// To be sent with a change, which fails if somebody made one meanwhile.
    pub fingerprint: Vec<u8>,
    pub groups: BTreeSet<ResourcePath>,
    pub leader: Option<ResourcePath>,
}

/// A forwarding rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GceRule {
    pub description: String,
    pub address: Option<IpAddr>,
    /// The backend service or target instance that it delivers to.
    pub target: Option<ResourcePath>,
}

/// A target instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GceTarget {
    pub description: String,
    pub instance: Option<ResourcePath>,
}

/// A zonal group of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointGroup {
    pub description: String,
    /// The instances.
    pub endpoints: BTreeSet<ResourcePath>,
}
