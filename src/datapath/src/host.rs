//! What else is on this host: its links to the world, and others that use what Egret takes.

mod cilium;
mod nftables;
mod others;
mod rerouted;
mod uplinks;

use std::collections::BTreeSet;

use egret_ports::error::PortError;
use egret_ports::steering::Collision;

use crate::constants::HostSettings;

pub use cilium::cilium_is_chained;
pub use rerouted::{ReroutedPods, rerouted_pods};
pub use uplinks::{HostUplink, NextHop, links, uplinks};

/// Finds others that use our bit, routing table, priority, device or ports. Empty: none. Who has
/// what the SNAT back end calls its own, the back end knows
/// ([`egret_ports::steering::Steering::collisions`]).
///
/// Looks at the nft rule set (iptables-nft is in it), the policy rules, our routing table, the
/// legacy iptables where that tool is there, and the UDP sockets. What Egret itself left there
/// (rules of our table with `proto kernel`, also under other settings, our nft table, our device) is no collision.
///
/// # Errors
/// `NotFound` where the tool nft is missing; `Denied` without CAP_NET_ADMIN.
pub fn check(settings: &HostSettings) -> Result<BTreeSet<Collision>, PortError> {
    let mut found = BTreeSet::new();
    others::rules_and_routes(settings, &mut found)?;
    others::sockets(settings, &mut found);
    nftables::users_of_bit(settings, &mut found)?;
    others::legacy_iptables(settings, &mut found);
    Ok(found)
}
