//! Whether a router answers.
//!
//! The kernel asks, as it does for packets: what it learns serves the first packet of an address that
//! is taken over, and what packets have learned costs no question.

use std::net::IpAddr;

use egret_ports::error::PortError;

use crate::netlink::{RouteNetlink, refused};

/// Whether the kernel knows a way to `router` on the interface; it asks anew where that is old. An
/// answer to the first question shows in a later call; that a router has fallen silent shows within
/// about a minute (`net.ipv4.neigh.*.base_reachable_time_ms` and others).
///
/// # Errors
/// `NotFound` where the interface is gone; `Transient` where it is down, or the list keeps changing
/// under the read; `Denied` without CAP_NET_ADMIN.
pub fn answers(index: u32, router: IpAddr) -> Result<bool, PortError> {
    let failed = |error| refused(format!("ask for the router {router}"), error);
    let mut netlink = RouteNetlink::route().map_err(failed)?;
    let known = netlink.is_resolved(index, router).map_err(failed)?;
    netlink.resolve(index, router).map_err(failed)?;
    Ok(known)
}
