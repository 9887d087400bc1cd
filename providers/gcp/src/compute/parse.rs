//! Google's messages as values: what cannot be read of one is as if it were not there.

use std::net::IpAddr;

use google_cloud_compute_v1::model;
use google_cloud_compute_v1::model::backend_service_ha_policy::FastIpmove;

use crate::names::{RegionScope, ResourcePath};
use crate::snapshot::{
    AliasRange, GceInstance, GceRule, GceSubnetwork, GceTarget, HaService, StaticAddress,
};

pub(super) fn path(self_link: Option<&str>) -> ResourcePath {
    ResourcePath::new(self_link.unwrap_or_default())
}

/// What an operation that has not ended is on. Of an instance only those count that change its interface:
/// disks come and go.
pub(super) fn target_under_way(operation: &model::Operation) -> Option<ResourcePath> {
    let done = operation.status == Some(model::operation::Status::Done);
    let target = ResourcePath::new(operation.target_link.as_deref().filter(|_| !done)?);
    let of_interface = operation.operation_type.as_deref().is_some_and(|it| it.contains(INTERFACE));
    (target.part("instances").is_none() || of_interface).then_some(target)
}

/// `updateNetworkInterface`, however the operation writes it.
const INTERFACE: &str = "etworkInterface";

pub(super) fn address(
    address: model::Address,
    scope: &RegionScope,
) -> Option<(IpAddr, StaticAddress)> {
    let ip = address.address.as_deref()?.parse().ok()?;
    let read = StaticAddress {
        path: path(address.self_link.as_deref()),
        scope: scope.clone(),
        subnetwork: address.subnetwork.as_deref().map(ResourcePath::new),
        standard_tier: address.network_tier == Some(model::address::NetworkTier::Standard),
        labels: address.labels.into_iter().collect(),
        users: address.users.iter().map(|user| ResourcePath::new(user)).collect(),
    };
    Some((ip, read))
}

pub(super) fn service(service: model::BackendService) -> HaService {
    let policy = service.ha_policy.as_ref();
    let groups = service.backends.iter().filter_map(|backend| backend.group.as_deref());
    HaService {
        fast: policy.is_some_and(|it| it.fast_ip_move == Some(FastIpmove::GarpRa)),
        network: service.network.as_deref().map(ResourcePath::new),
        leader: policy.and_then(|policy| policy.leader.as_ref()).and_then(leader),
        groups: groups.map(ResourcePath::new).collect(),
        description: service.description.unwrap_or_default(),
        fingerprint: service.fingerprint.map(|it| it.to_vec()).unwrap_or_default(),
    }
}

pub(super) fn rule(rule: model::ForwardingRule) -> GceRule {
    // An IPv6 rule has a range.
    let address = rule.ip_address.as_deref().and_then(|text| text.split('/').next());
    let target = rule.backend_service.as_deref().or(rule.target.as_deref());
    GceRule {
        address: address.and_then(|text| text.parse().ok()),
        target: target.map(ResourcePath::new),
        description: rule.description.unwrap_or_default(),
    }
}

pub(super) fn target(target: model::TargetInstance) -> GceTarget {
    GceTarget {
        description: target.description.unwrap_or_default(),
        instance: target.instance.as_deref().map(ResourcePath::new),
    }
}

/// `None` where it has no router, and so no gateway of Egret's.
pub(super) fn subnetwork(subnetwork: &model::Subnetwork) -> Option<GceSubnetwork> {
    let secondary = subnetwork.secondary_ip_ranges.iter().filter_map(|range| {
        Some((range.range_name.clone()?, range.ip_cidr_range.as_deref()?.parse().ok()?))
    });
    Some(GceSubnetwork {
        network: ResourcePath::new(subnetwork.network.as_deref()?),
        range: subnetwork.ip_cidr_range.as_deref()?.parse().ok()?,
        secondary: secondary.collect(),
        gateway: subnetwork.gateway_address.as_deref()?.parse().ok()?,
    })
}

/// An instance by URL, or by its name beside its group.
pub(super) fn instance_path(instance: &str, project: &str, zone: &str) -> ResourcePath {
    if instance.contains('/') {
        ResourcePath::new(instance)
    } else {
        ResourcePath::new(&format!("projects/{project}/zones/{zone}/instances/{instance}"))
    }
}

fn leader(leader: &model::BackendServiceHAPolicyLeader) -> Option<ResourcePath> {
    let instance = leader.network_endpoint.as_ref()?.instance.as_deref()?;
    let group = ResourcePath::new(leader.backend_group.as_deref().unwrap_or_default());
    let part = |collection| group.part(collection).unwrap_or_default();
    Some(instance_path(instance, part("projects"), part("zones")))
}

/// `None` where it has no interface with an address: nothing can be delivered to it.
pub(super) fn instance(
    instance: &model::Instance,
    zone: &str,
    scope: &RegionScope,
) -> Option<GceInstance> {
    let ended = [
        model::instance::Status::Stopped,
        model::instance::Status::Terminated,
        model::instance::Status::Suspended,
    ];
    let interface = instance.network_interfaces.first()?;
    let alias = |alias: &model::AliasIpRange| AliasRange {
        cidr: alias.ip_cidr_range.clone().unwrap_or_default(),
        name: alias.subnetwork_range_name.clone().filter(|name| !name.is_empty()),
    };
    Some(GceInstance {
        id: instance.id.unwrap_or_default(),
        running: !instance.status.as_ref().is_some_and(|status| ended.contains(status)),
        scope: scope.clone(),
        zone: zone.to_owned(),
        interface: interface.name.clone().unwrap_or_else(|| "nic0".to_owned()),
        network: ResourcePath::new(interface.network.as_deref()?),
        subnetwork: ResourcePath::new(interface.subnetwork.as_deref()?),
        v4: interface.network_ip.as_deref()?.parse().ok()?,
        aliases: interface.alias_ip_ranges.iter().map(alias).collect(),
        fingerprint: interface.fingerprint.as_ref().map(|it| it.to_vec()).unwrap_or_default(),
    })
}
