//! What was read of Compute Engine, as values.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

use crate::names::{RegionScope, ResourcePath};
use crate::refusal::GceRefusal;

/// What one read has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GceSnapshot {
    /// The instances of nodes.
    pub instances: BTreeMap<ResourcePath, GceInstance>,
    /// The subnetworks of their interfaces.
    pub subnetworks: BTreeMap<ResourcePath, GceSubnetwork>,
    /// Static addresses of the nodes' projects and regions. Two networks may have the same.
    pub addresses: BTreeMap<IpAddr, Vec<StaticAddress>>,
    /// Backend services that have `fastIPMove`, or a name of ours.
    pub services: BTreeMap<ResourcePath, HaService>,
    /// Forwarding rules that have a name of ours.
    pub rules: BTreeMap<ResourcePath, HaRule>,
    /// Groups of `GCE_VM_IP` endpoints that have a name of ours.
    pub groups: BTreeMap<ResourcePath, EndpointGroup>,
    /// What an operation is under way on.
    pub busy: BTreeSet<ResourcePath>,
    /// Leaders of Egret's services that do not exist any more.
    pub gone: BTreeSet<ResourcePath>,
    /// Projects and regions that could not be read, and why.
    pub unreadable: BTreeMap<RegionScope, GceRefusal>,
}

/// An instance that runs, by its first interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GceInstance {
    pub scope: RegionScope,
    pub zone: String,
    /// `nic0`.
    pub interface: String,
    pub network: ResourcePath,
    pub subnetwork: ResourcePath,
    pub v4: Ipv4Addr,
}

/// A subnetwork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GceSubnetwork {
    pub network: ResourcePath,
    pub range: Ipv4Net,
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
pub(crate) struct HaRule {
    pub description: String,
    pub address: Option<IpAddr>,
    pub service: Option<ResourcePath>,
}

/// A zonal group of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointGroup {
    pub description: String,
    /// The instances.
    pub endpoints: BTreeSet<ResourcePath>,
}
