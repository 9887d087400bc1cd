//! Which connections end, and how.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use egret_core::model::Family;
use egret_core::node_config::{FlowAction, SteeringConfig};
use egret_ports::error::PortError;
use ipnet::IpNet;

use super::FlowIndex;
use super::filter::AddressFilter;
use super::raw::EntryAddresses;
use super::socket::{Conntrack, ConntrackEntry, EntryEnd, Narrowing};
use crate::constants::HostSettings;
use crate::netlink::refused;

/// Which entries that disagree with a steering config end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StaleScope {
    /// Those without an answer: the pod goes on, and so do its connections.
    Unanswered,
    /// All: another pod began them.
    All,
}

/// Forgets all connections from and to these addresses of pods, steered or not. The connections of
/// others are not touched, but for those with these pods.
///
/// # Errors
/// `Denied` without CAP_NET_ADMIN; `Invalid` where the kernel lacks nf_conntrack_netlink.
pub fn forget_pods(addresses: &BTreeSet<IpNet>) -> Result<(), PortError> {
    let operation = || "forget the connections of a pod";
    for family in [Family::IPv4, Family::IPv6] {
        let of = of_family(addresses, family);
        if !of.is_empty() {
            let forget = forget_family(AddressFilter::of(family), family, &of);
            forget.map_err(|e| refused(operation(), e))?;
        }
    }
    Ok(())
}

fn of_family(nets: &BTreeSet<IpNet>, family: Family) -> Vec<IpNet> {
    nets.iter().copied().filter(|net| Family::of(net.addr()) == family).collect()
}

fn forget_family(filter: AddressFilter, family: Family, addresses: &[IpNet]) -> io::Result<()> {
    let mut conntrack = Conntrack::open()?;
    let (hosts, ranges) = split(addresses);
    let by_filter = filter.by_source && filter.by_answerer;
    for host in hosts.iter().filter(|_| by_filter) {
        for end in [EntryEnd::Source, EntryEnd::Answerer] {
            let asked = Narrowing::address(end, *host);
            if filter.deletes {
                conntrack.delete_narrowed(family, &asked)?;
            } else {
                let listed =
                    conntrack.narrowed(family, &asked, |entry| is_at(entry, end, *host))?;
                conntrack.delete_all(listed.iter())?;
            }
        }
    }
    let others = if by_filter { ranges } else { addresses.to_vec() };
    if !others.is_empty() {
        let theirs = |entry: EntryAddresses| {
            let is = |address: &IpAddr| others.iter().any(|net| net.contains(address));
            is(&entry.source) || is(&entry.answerer)
        };
        let listed = conntrack.narrowed(family, &Narrowing::default(), theirs)?;
        conntrack.delete_all(listed.iter())?;
    }
    Ok(())
}

/// Single addresses, and ranges.
fn split(nets: &[IpNet]) -> (Vec<IpAddr>, Vec<IpNet>) {
    let is_host = |net: &&IpNet| net.prefix_len() == net.max_prefix_len();
    let hosts = nets.iter().filter(is_host).map(IpNet::addr).collect();
    (hosts, nets.iter().filter(|net| !is_host(net)).copied().collect())
}

fn is_at(entry: EntryAddresses, end: EntryEnd, address: IpAddr) -> bool {
    address
        == match end {
            EntryEnd::Source => entry.source,
            EntryEnd::Answerer => entry.answerer,
        }
}

/// Forgets entries that these sources began and that left otherwise than `config` says; returns how
/// many. To be called after `config` was applied: their next packets are first ones then.
///
/// One-way UDP (syslog, metrics) stays `new` for ever and its NAT was decided at the first packet: it
/// would keep its first address for ever.
///
/// # Errors
/// As [`forget_pods`].
pub fn forget_stale(
    settings: &HostSettings,
    config: &SteeringConfig,
    sources: &BTreeSet<IpNet>,
    scope: StaleScope,
) -> Result<u64, PortError> {
    let operation = || "forget connections that leave otherwise now";
    let index = FlowIndex::new(config);
    let is_stale = |entry: &&ConntrackEntry| {
        (scope == StaleScope::All || !entry.replied)
            && disagrees(entry, settings.mark, &index, config, scope)
    };
    let mut forgotten = 0;
    for family in [Family::IPv4, Family::IPv6] {
        let of = of_family(sources, family);
        let forget = || -> io::Result<u64> {
            let mut conntrack = Conntrack::open()?;
            let mut forgotten = 0;
            for entries in begun_by(family, &of, &mut conntrack)? {
                forgotten += conntrack.delete_all(entries.iter().filter(is_stale))?;
            }
            Ok(forgotten)
        };
        if !of.is_empty() {
            forgotten += forget().map_err(|e| refused(operation(), e))?;
        }
    }
    Ok(forgotten)
}

/// The entries that these sources began, address by address where the kernel can.
fn begun_by(
    family: Family,
    sources: &[IpNet],
    conntrack: &mut Conntrack,
) -> io::Result<Vec<Vec<ConntrackEntry>>> {
    let filter = AddressFilter::of(family);
    let (hosts, ranges) = split(sources);
    let mut all = Vec::new();
    for host in hosts.iter().filter(|_| filter.by_source) {
        let asked = Narrowing::address(EntryEnd::Source, *host);
        all.push(conntrack.narrowed(family, &asked, |entry| entry.source == *host)?);
    }
    let others = if filter.by_source { ranges } else { sources.to_vec() };
    if !others.is_empty() {
        let theirs = |entry: EntryAddresses| others.iter().any(|net| net.contains(&entry.source));
        all.push(conntrack.narrowed(family, &Narrowing::default(), theirs)?);
    }
    Ok(all)
}

/// Whether a new connection would leave otherwise than this one does.
fn disagrees(
    entry: &ConntrackEntry,
    mark: u32,
    index: &FlowIndex<'_>,
    config: &SteeringConfig,
    scope: StaleScope,
) -> bool {
    let is_steered = entry.mark & mark != 0;
    // After DNAT, the destination is where replies come from.
    match index.action(entry.source, entry.reply_source) {
        None => is_steered,
        Some(_) if !is_steered => true,
        Some(FlowAction::Steer { address }) if entry.reply_destination != address => {
            // Until it has ports of the new address, the pod's stream goes on with the old one.
            let has_ports = config.blocks.get(&address).is_some_and(|blocks| !blocks.is_empty());
            has_ports || scope == StaleScope::All
        }
        Some(FlowAction::Steer { .. }) => false,
        Some(_) => scope == StaleScope::All,
    }
}

/// Forgets all steered connections; returns how many. Part of the teardown: without our rules they
/// would leave by the node's uplink with the egress address as their source.
///
/// # Errors
/// As [`forget_pods`].
pub fn forget_all(settings: &HostSettings) -> Result<u64, PortError> {
    let operation = || "forget steered connections";
    let mut conntrack = Conntrack::open().map_err(|e| refused(operation(), e))?;
    let entries = conntrack.marked(settings.mark).map_err(|e| refused(operation(), e))?;
    conntrack.delete_all(entries.iter()).map_err(|e| refused(operation(), e))
}

#[cfg(test)]
mod tests;
