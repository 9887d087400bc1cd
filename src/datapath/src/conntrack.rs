//! Connections of this node's pods, as conntrack has them.
//!
//! Whether a connection is steered is our bit in its mark; which address and port it leaves with
//! is the destination of its reply tuple. Nothing here remembers anything.

mod filter;
mod forget;
mod raw;
mod socket;

pub use self::forget::{StaleScope, forget_all, forget_pods, forget_stale};

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use egret_core::model::Family;
use egret_core::node_config::{FlowAction, SteeringConfig};
use egret_ports::error::PortError;
use ipnet::IpNet;
use netlink_packet_netfilter::conntrack::{IPTuple, ProtoTuple, Protocol, Tuple};

use self::socket::{Conntrack, ConntrackEntry};
use crate::constants::HostSettings;
use crate::netlink::refused;

/// Steered connections of one egress address on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressUsage {
    /// All of them, TIME_WAIT included.
    pub connections: u64,
    /// The most that share one protocol (its IP number) and destination: each takes a port of its
    /// own out of the address's blocks.
    pub busiest: Option<(u8, SocketAddr, u64)>,
}

/// The egress addresses with steered connections on this node, and how many. A released address
/// that is not in it is idle here.
///
/// # Errors
/// As [`forget_pods`].
pub fn usage(settings: &HostSettings) -> Result<BTreeMap<IpAddr, AddressUsage>, PortError> {
    let operation = || "count steered connections";
    let mut conntrack = Conntrack::open().map_err(|e| refused(operation(), e))?;
    let entries = conntrack.marked(settings.mark).map_err(|e| refused(operation(), e))?;
    Ok(count(&entries))
}

fn count(entries: &[ConntrackEntry]) -> BTreeMap<IpAddr, AddressUsage> {
    let mut by_destination: BTreeMap<(IpAddr, u8, SocketAddr), u64> = BTreeMap::new();
    // Steered but without NAT: a local destination. It holds no port.
    for entry in entries.iter().filter(|entry| entry.reply_destination != entry.source) {
        let destination = SocketAddr::new(entry.reply_source, entry.reply_source_port);
        let key = (entry.reply_destination, entry.protocol, destination);
        *by_destination.entry(key).or_default() += 1;
    }
    let mut usage: BTreeMap<IpAddr, AddressUsage> = BTreeMap::new();
    for ((address, protocol, destination), connections) in by_destination {
        let of = usage.entry(address).or_default();
        of.connections += connections;
        if of.busiest.is_none_or(|(_, _, most)| connections > most) {
            of.busiest = Some((protocol, destination, connections));
        }
    }
    usage
}

/// Whether conntrack knows one of these TCP connections by the tuple that its first packet had.
pub(crate) fn knows(tuples: &BTreeSet<(SocketAddr, SocketAddr)>) -> Result<bool, PortError> {
    let operation = || "look connections up";
    let mut conntrack = Conntrack::open().map_err(|e| refused(operation(), e))?;
    for (source, destination) in tuples {
        let tuple = vec![
            Tuple::Ip(vec![
                IPTuple::SourceAddress(source.ip()),
                IPTuple::DestinationAddress(destination.ip()),
            ]),
            Tuple::Proto(vec![
                ProtoTuple::Protocol(Protocol::Tcp),
                ProtoTuple::SourcePort(source.port()),
                ProtoTuple::DestinationPort(destination.port()),
            ]),
        ];
        let family = Family::of(source.ip());
        if conntrack.find(tuple, family).map_err(|e| refused(operation(), e))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Flows by source, since there may be thousands of flows and a million entries.
pub(crate) struct FlowIndex<'a> {
    hosts: BTreeMap<IpAddr, Vec<(IpNet, FlowAction)>>,
    ranges: Vec<(IpNet, IpNet, FlowAction)>,
    never: Vec<&'a IpNet>,
}

impl<'a> FlowIndex<'a> {
    pub(crate) fn new(config: &'a SteeringConfig) -> Self {
        let mut hosts: BTreeMap<IpAddr, Vec<(IpNet, FlowAction)>> = BTreeMap::new();
        let mut ranges = Vec::new();
        for flow in &config.flows {
            if flow.source.prefix_len() == flow.source.max_prefix_len() {
                let of = hosts.entry(flow.source.addr()).or_default();
                of.push((flow.destination, flow.action));
            } else {
                ranges.push((flow.source, flow.destination, flow.action));
            }
        }
        Self { hosts, ranges, never: config.not_steered().collect() }
    }

    pub(crate) fn selects(&self, source: IpAddr, destination: IpAddr) -> bool {
        self.action(source, destination).is_some()
    }

    /// What happens to a new connection; `None` where no claim selects it.
    fn action(&self, source: IpAddr, destination: IpAddr) -> Option<FlowAction> {
        let by_host = self.hosts.get(&source).into_iter().flatten();
        let by_host = by_host.map(|(net, action)| (net, action));
        let by_range = self.ranges.iter().filter(|(net, ..)| net.contains(&source));
        let mut found = by_host.chain(by_range.map(|(_, net, action)| (net, action)));
        let action = found.find(|(net, _)| net.contains(&destination)).map(|(_, action)| *action);
        action.filter(|_| !self.never.iter().any(|net| net.contains(&destination)))
    }
}

#[cfg(test)]
mod tests {
    use egret_core::node_config::Flow;

    use super::*;

    fn entry(source: &str, destination: &str, port: u16, nat: &str) -> ConntrackEntry {
        let destination = destination.parse().unwrap();
        ConntrackEntry {
            source: source.parse().unwrap(),
            source_port: 40_000,
            destination,
            destination_port: port,
            reply_source: destination,
            reply_source_port: port,
            reply_destination: nat.parse().unwrap(),
            protocol: 6,
            replied: true,
            ..ConntrackEntry::default()
        }
    }

    #[test]
    fn the_busiest_destination_is_counted_by_address() {
        let usage = count(&[
            entry("10.244.1.2", "198.51.100.7", 443, "203.0.113.17"),
            entry("10.244.1.3", "198.51.100.7", 443, "203.0.113.17"),
            entry("10.244.1.2", "198.51.100.8", 443, "203.0.113.17"),
            entry("10.244.1.2", "198.51.100.8", 443, "203.0.113.18"),
            entry("10.244.1.2", "198.51.100.9", 443, "10.244.1.2"),
        ]);
        let first = &usage[&"203.0.113.17".parse::<IpAddr>().unwrap()];
        assert_eq!(first.connections, 3);
        assert_eq!(first.busiest, Some((6, "198.51.100.7:443".parse().unwrap(), 2)));
        assert_eq!(usage.len(), 2);
    }

    #[test]
    fn flows_are_found_by_host_and_by_range() {
        let flow = |source: &str, destination: &str| Flow {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            action: FlowAction::DropNoAddress,
        };
        let config = SteeringConfig {
            flows: vec![flow("10.244.1.2/32", "0.0.0.0/0"), flow("10.245.0.0/16", "192.0.2.0/24")],
            never_steered: ["10.0.0.0/8".parse().unwrap()].into(),
            ..SteeringConfig::default()
        };
        let index = FlowIndex::new(&config);
        let selects = |s: &str, d: &str| index.selects(s.parse().unwrap(), d.parse().unwrap());
        assert!(selects("10.244.1.2", "192.0.2.1"));
        assert!(!selects("10.244.1.2", "10.1.1.1"));
        assert!(selects("10.245.3.4", "192.0.2.1"));
        assert!(!selects("10.245.3.4", "192.0.3.1"));
        assert!(!selects("10.244.1.3", "192.0.2.1"));
    }
}
