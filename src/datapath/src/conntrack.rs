//! Connections of this node's pods, as conntrack has them.
//!
//! Whether a connection is steered is our bit in its mark; which address and port it leaves with
//! is the destination of its reply tuple. Nothing here remembers anything.

mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use egret_core::node_config::SteeringConfig;
use egret_ports::error::PortError;
use ipnet::IpNet;

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

/// Forgets entries of the steering config's flows that never saw a reply and are not steered; returns how
/// many. To be called after the steering config was applied: their next packets are first ones then.
///
/// One-way UDP (syslog, metrics) stays `new` for ever and its NAT was decided at the first packet:
/// it would keep the node's address for ever. An entry that is steered already is left alone.
///
/// # Errors
/// `Denied` without CAP_NET_ADMIN; `Invalid` where the kernel lacks nf_conntrack_netlink.
pub fn forget_unreplied(
    settings: &HostSettings,
    config: &SteeringConfig,
) -> Result<u64, PortError> {
    let operation = || "forget connections without a reply";
    let index = FlowIndex::new(config);
    let mut conntrack = Conntrack::open().map_err(|e| refused(operation(), e))?;
    let entries = conntrack.unmarked(settings.mark).map_err(|e| refused(operation(), e))?;
    let stale = entries.iter().filter(|entry| {
        // After DNAT, the destination is where replies come from.
        !entry.replied && index.selects(entry.source, entry.reply_source)
    });
    conntrack.delete_all(stale).map_err(|e| refused(operation(), e))
}

/// Forgets all steered connections; returns how many. Part of the teardown: without our rules they
/// would leave by the node's uplink with the egress address as their source.
///
/// # Errors
/// As [`forget_unreplied`].
pub fn forget_all(settings: &HostSettings) -> Result<u64, PortError> {
    forget_marked(settings, |_| true)
}

fn forget_marked(
    settings: &HostSettings,
    chosen: impl Fn(&ConntrackEntry) -> bool,
) -> Result<u64, PortError> {
    let operation = || "forget steered connections";
    let mut conntrack = Conntrack::open().map_err(|e| refused(operation(), e))?;
    let entries = conntrack.marked(settings.mark).map_err(|e| refused(operation(), e))?;
    let chosen = entries.iter().filter(|entry| chosen(entry));
    conntrack.delete_all(chosen).map_err(|e| refused(operation(), e))
}

/// The egress addresses with steered connections on this node, and how many. A released address
/// that is not in it is idle here.
///
/// # Errors
/// As [`forget_unreplied`].
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

/// Whether conntrack knows a connection by the tuple that its first packet had.
pub(crate) fn knows(tuples: &BTreeSet<(SocketAddr, SocketAddr)>) -> Result<bool, PortError> {
    let operation = || "look connections up";
    let mut conntrack = Conntrack::open().map_err(|e| refused(operation(), e))?;
    let entries = conntrack.all().map_err(|e| refused(operation(), e))?;
    Ok(entries.iter().any(|entry| {
        let source = SocketAddr::new(entry.source, entry.source_port);
        let destination = SocketAddr::new(entry.destination, entry.destination_port);
        tuples.contains(&(source, destination))
    }))
}

/// Flows by source, since there may be thousands of flows and a million entries.
pub(crate) struct FlowIndex<'a> {
    hosts: BTreeMap<IpAddr, Vec<IpNet>>,
    ranges: Vec<(IpNet, IpNet)>,
    never: &'a BTreeSet<IpNet>,
}

impl<'a> FlowIndex<'a> {
    pub(crate) fn new(config: &'a SteeringConfig) -> Self {
        let mut hosts: BTreeMap<IpAddr, Vec<IpNet>> = BTreeMap::new();
        let mut ranges = Vec::new();
        for flow in &config.flows {
            if flow.source.prefix_len() == flow.source.max_prefix_len() {
                hosts.entry(flow.source.addr()).or_default().push(flow.destination);
            } else {
                ranges.push((flow.source, flow.destination));
            }
        }
        Self { hosts, ranges, never: &config.never_steered }
    }

    pub(crate) fn selects(&self, source: IpAddr, destination: IpAddr) -> bool {
        let by_host = self
            .hosts
            .get(&source)
            .is_some_and(|nets| nets.iter().any(|net| net.contains(&destination)));
        let by_range =
            || self.ranges.iter().any(|(s, d)| s.contains(&source) && d.contains(&destination));
        (by_host || by_range()) && !self.never.iter().any(|net| net.contains(&destination))
    }
}

#[cfg(test)]
mod tests {
    use egret_core::node_config::{Flow, FlowAction};

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
