//! What else is on this host: its links to the world, and others that use what Egret takes.

mod cilium;
mod findings;
mod iptables;
mod nftables;
mod others;
mod rerouted;
mod uplinks;

use egret_ports::error::PortError;

use crate::constants::HostSettings;

pub use cilium::cilium_is_chained;
pub use findings::HostFindings;
pub use others::mark_rules;
pub use rerouted::{ReroutedPods, rerouted_pods};
pub use uplinks::{HostUplink, NextHop, links, uplinks};

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
    nftables::marks(settings, &mut found)?;
    iptables::marks(settings, &mut found);
    Ok(found)
}
