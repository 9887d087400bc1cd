//! What an agent of this host left under other settings: a policy rule and its routing table.
//!
//! They are known by what nobody else has: a rule `proto kernel` that matches one mark, or one bit, and in its table the last
//! resort of [`crate::route`]. Left behind, they lead packets with a bit that somebody else may use now into the tunnel.

use std::io;

use egret_core::model::Family;
use egret_ports::error::PortError;
use egret_ports::steering::Applied;

use crate::constants::HostSettings;
use crate::netlink::rule::{RuleRecord, is_ours};
use crate::netlink::{RouteNetlink, no_such_family, refused};

/// Removes the rules and empties the tables of other settings than these; absent is success.
///
/// # Errors
/// `Denied` without CAP_NET_ADMIN; `Transient` where the rules keep changing under the read.
pub(crate) fn remove(settings: &HostSettings) -> Result<Applied, PortError> {
    let mut applied = Applied::AlreadySo;
    for family in [Family::IPv4, Family::IPv6] {
        match remove_family(settings, family) {
            Ok(Applied::Changed) => applied = Applied::Changed,
            Ok(Applied::AlreadySo) => {}
            Err(error) if family == Family::IPv6 && no_such_family(&error) => {}
            Err(error) => {
                return Err(refused(format!("remove {family} rules of other settings"), error));
            }
        }
    }
    Ok(applied)
}

/// Whether a rule is one of Egret's under other settings than these.
pub(crate) fn is_former(
    netlink: &mut RouteNetlink,
    rule: &RuleRecord,
    settings: &HostSettings,
) -> io::Result<bool> {
    // Agents of earlier versions matched one bit.
    let bit = rule.mark.is_power_of_two() && rule.mask == rule.mark;
    let of_our_form = rule.kernel && rule.plain && (bit || rule.mask == u32::MAX);
    if !of_our_form || is_ours(rule, settings) {
        return Ok(false);
    }
    let routes = netlink.routes(rule.family, rule.table)?;
    Ok(routes.iter().any(crate::netlink::route::RouteRecord::is_last_resort))
}

fn remove_family(settings: &HostSettings, family: Family) -> io::Result<Applied> {
    let mut netlink = RouteNetlink::route()?;
    let mut applied = Applied::AlreadySo;
    for rule in netlink.rules(family)? {
        if !is_former(&mut netlink, &rule, settings)? {
            continue;
        }
        applied = Applied::Changed;
        netlink.delete_rule(&rule)?;
        if rule.table != settings.route_table {
            for route in netlink.routes(family, rule.table)? {
                netlink.delete_route(&route)?;
            }
        }
    }
    Ok(applied)
}
