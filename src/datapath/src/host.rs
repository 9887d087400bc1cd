//! What else is on this host: its links to the world, and others that use what Egret takes.

mod cilium;
mod findings;
mod firewall;
mod guarded;
mod iptables;
#[cfg(test)]
mod listings;
mod nftables;
mod others;
mod rerouted;
mod uplinks;

use egret_ports::error::PortError;

use crate::constants::HostSettings;
use crate::netlink::refused;
use crate::nft::generation;

pub use cilium::cilium_is_chained;
pub use findings::HostFindings;
pub use guarded::{RoutedLinks, routed_links};
pub use others::mark_rules;
pub use rerouted::{ReroutedPods, rerouted_pods};
pub use uplinks::{HostUplink, LinkCarrier, NextHop, carriers, links, uplinks};

/// Finds others that use our bit of the connection's mark, routing table, priority, device or ports, and what
/// packets' marks are matched with. Who has what the SNAT back end calls its own, the back end knows
/// ([`egret_ports::steering::Steering::collisions`]).
///
/// Looks at the nft rule set (iptables-nft is in it), the policy rules, our routing table,
/// iptables where that tool is there, and the UDP sockets. What Egret itself left there
/// (rules of our table with `proto kernel`, also under other settings, our nft table, our device) is no collision.
///
/// # Errors
/// `NotFound` where the tool nft is missing; `Denied` without CAP_NET_ADMIN.
pub fn check(settings: &HostSettings) -> Result<HostFindings, PortError> {
    let mut found = HostFindings::default();
    others::rules_and_routes(settings, &mut found.collisions)?;
    others::sockets(settings, &mut found.collisions);
    let HostFindings { collisions, overwrites, marks } = firewalls(settings)?;
    found.collisions.extend(collisions);
    Ok(HostFindings { overwrites, marks, ..found })
}

/// What nftables and iptables do with marks: runs their tools, which takes a while where there are many rules.
///
/// # Errors
/// As [`check`].
pub fn firewalls(settings: &HostSettings) -> Result<HostFindings, PortError> {
    let mut firewalls = vec![nftables::firewall(settings)?];
    firewalls.extend(iptables::firewalls()?);
    Ok(firewall::judge(&firewalls, settings))
}

/// The number of the rule set's generation: every transaction of nftables raises it, iptables-nft's too.
///
/// # Errors
/// `Denied` without CAP_NET_ADMIN.
pub fn firewall_generation() -> Result<u32, PortError> {
    generation().map_err(|error| refused("read the generation of the rule set", error))
}
