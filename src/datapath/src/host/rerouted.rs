//! Pods whose traffic another rule takes before ours: security groups for pods of the VPC CNI in strict mode.

use std::collections::{BTreeMap, BTreeSet};

use egret_core::model::Family;
use egret_ports::error::PortError;
use ipnet::IpNet;

use crate::constants::HostSettings;
use crate::netlink::route::RouteTarget;
use crate::netlink::rule::RuleRecord;
use crate::netlink::{RouteNetlink, no_such_family, refused};

/// What the VPC CNI calls the devices of pods with a branch interface in strict mode. In standard mode they
/// are called `eni…` like all others (amazon-vpc-cni-k8s, `BuildHostVethNamePrefix`).
const STRICT: &str = "vlan";
/// Behind that come so many digits of a hash: `vlan100` is a host's own.
const HASH: usize = 11;
/// The priority of their rules.
const PRIORITY: u32 = 10;

/// Pods that Egret cannot steer, since a rule before its own sends their traffic into another table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReroutedPods {
    /// The devices of such pods on this host.
    pub devices: BTreeSet<String>,
    /// Their addresses.
    pub addresses: BTreeSet<IpNet>,
}

/// The pods of this host whose traffic the VPC CNI's rules of strict mode take: `from all iif vlan…`, priority
/// 10, into a table that has the pod's own address and the branch interface's router.
///
/// # Errors
/// `Transient` where rules, routes or links keep changing under the read.
pub fn rerouted_pods(settings: &HostSettings) -> Result<ReroutedPods, PortError> {
    let mut found = ReroutedPods::default();
    for family in [Family::IPv4, Family::IPv6] {
        match of_family(settings, family, &mut found) {
            Err(error) if family == Family::IPv6 && no_such_family(&error) => {}
            Err(error) => return Err(refused(format!("read the {family} rules of pods"), error)),
            Ok(()) => {}
        }
    }
    Ok(found)
}

fn of_family(
    settings: &HostSettings,
    family: Family,
    found: &mut ReroutedPods,
) -> std::io::Result<()> {
    let mut netlink = RouteNetlink::route()?;
    let earlier = earlier(&netlink.rules(family)?, settings.rule_priority);
    if earlier.is_empty() {
        return Ok(());
    }
    let links = netlink.links()?;
    for (table, devices) in earlier {
        let of_pods = links.iter().filter(|link| devices.contains(&link.name));
        let of_pods: BTreeMap<u32, _> = of_pods.map(|link| (link.index, &link.name)).collect();
        for route in netlink.routes(family, table)? {
            // A pod's own address, and no network behind a device of the host.
            if let RouteTarget::Device(index) = route.target
                && let Some(device) = of_pods.get(&index)
                && route.destination.prefix_len() == route.destination.max_prefix_len()
            {
                found.addresses.insert(route.destination);
                found.devices.insert((*device).clone());
            }
        }
    }
    Ok(())
}

/// The tables that rules before ours send pods' traffic to, with the pods' devices.
fn earlier(rules: &[RuleRecord], ours: u32) -> BTreeMap<u32, BTreeSet<String>> {
    let mut tables: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for rule in rules.iter().filter(|rule| rule.priority == PRIORITY && PRIORITY < ours) {
        if let Some(device) = &rule.incoming
            && is_of_pod(device)
        {
            tables.entry(rule.table).or_default().insert(device.clone());
        }
    }
    tables
}

fn is_of_pod(device: &str) -> bool {
    let hash = device.strip_prefix(STRICT).unwrap_or_default();
    hash.len() == HASH && hash.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::AddressFamily;
    use netlink_packet_route::rule::{RuleAttribute, RuleMessage};

    use super::*;
    use crate::netlink::rule::record_any;

    fn rule(priority: u32, device: Option<&str>, table: u32) -> RuleRecord {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
        message.attributes = vec![RuleAttribute::Priority(priority), RuleAttribute::Table(table)];
        let incoming = device.map(|device| RuleAttribute::Iifname(device.to_owned()));
        message.attributes.extend(incoming);
        record_any(message).unwrap()
    }

    #[test]
    fn strict_mode_is_known_by_the_rules_of_pods_before_ours() {
        let strict = [
            rule(0, None, 255),
            rule(10, Some("vlan.eth.1"), 101),
            rule(10, Some("vlan5f3c1d2e4a6"), 101),
            rule(10, Some("vlan0a1b2c3d4e5"), 102),
            rule(490, None, 490),
        ];
        let found = earlier(&strict, 490);
        let expected = [
            (101, ["vlan5f3c1d2e4a6".to_owned()].into()),
            (102, ["vlan0a1b2c3d4e5".to_owned()].into()),
        ];
        assert_eq!(found, expected.into());
        assert_eq!(earlier(&strict, 5), BTreeMap::new(), "ours comes first");
        // Standard mode, and a host with a bridge of its own.
        let others = [
            rule(10, Some("vlan.eth.1"), 101),
            rule(512, None, 254),
            rule(1536, None, 101),
            rule(100, Some("br-lan"), 7),
            rule(10, Some("vlan100"), 8),
            rule(10, Some("vlan5f3c1d2e4ag"), 8),
            rule(100, Some("vlan5f3c1d2e4a6"), 101),
            rule(600, Some("vlan5f3c1d2e4a6"), 101),
        ];
        assert_eq!(earlier(&others, 490), BTreeMap::new());
    }
}
