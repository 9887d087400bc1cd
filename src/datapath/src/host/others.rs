//! Users of our rule priority, routing table, device and ports, and policy rules about marks.

use std::collections::BTreeSet;
use std::fs;

use egret_core::model::Family;
use egret_ports::error::PortError;
use egret_ports::steering::Collision;

use crate::constants::HostSettings;
use crate::former::is_former;
use crate::netlink::route::{RouteRecord, RouteTarget};
use crate::netlink::rule::{RuleRecord, is_ours};
use crate::netlink::way::MAIN_TABLE;
use crate::netlink::{RouteNetlink, no_such_family, refused};
use crate::packet_mark::{MarkMatch, MatchEffect};

pub(super) fn rules_and_routes(
    settings: &HostSettings,
    found: &mut BTreeSet<Collision>,
) -> Result<(), PortError> {
    for family in [Family::IPv4, Family::IPv6] {
        match family_rules_and_routes(settings, family, found) {
            Err(error) if family == Family::IPv6 && no_such_family(&error) => {}
            Err(error) => return Err(refused(format!("read the {family} rules"), error)),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn family_rules_and_routes(
    settings: &HostSettings,
    family: Family,
    found: &mut BTreeSet<Collision>,
) -> std::io::Result<()> {
    let mut netlink = RouteNetlink::route()?;
    for rule in netlink.rules(family)? {
        let own = is_ours(&rule, settings) && rule.kernel;
        if own || is_former(&mut netlink, &rule, settings)? {
            continue;
        }
        let who = name(&rule);
        let mut add = |what: String, setting| {
            found.insert(Collision { what, who: who.clone(), setting });
        };
        if rule.priority == settings.rule_priority {
            add(format!("the rule priority {}", rule.priority), "rule priority");
        }
        if rule.table == settings.route_table {
            add(format!("the routing table {}", rule.table), "routing table");
        }
    }
    for route in netlink.routes(family, settings.route_table)? {
        if !route.kernel {
            found.insert(Collision {
                what: format!("the routing table {}", settings.route_table),
                who: format!("the {family} route to {}", route.destination),
                setting: "routing table",
            });
        }
    }
    if family == Family::IPv4 {
        devices(settings, &mut netlink, found)?;
    }
    Ok(())
}

fn name(RuleRecord { family, priority, table, mark, mask, inverted, .. }: &RuleRecord) -> String {
    let not = if *inverted { "not " } else { "" };
    format!(
        "the {family} rule of priority {priority} to table {table}, {not}fwmark {mark:#x}/{mask:#x}"
    )
}

/// What the policy rules of others match packets' marks with.
///
/// # Errors
/// `Transient` where the rules keep changing under the read.
pub fn mark_rules(settings: &HostSettings) -> Result<Vec<MarkMatch>, PortError> {
    let mut found = Vec::new();
    for family in [Family::IPv4, Family::IPv6] {
        match family_mark_rules(settings, family, &mut found) {
            Err(error) if family == Family::IPv6 && no_such_family(&error) => {}
            Err(error) => return Err(refused(format!("read the {family} rules"), error)),
            Ok(()) => {}
        }
    }
    Ok(found)
}

fn family_mark_rules(
    settings: &HostSettings,
    family: Family,
    found: &mut Vec<MarkMatch>,
) -> std::io::Result<()> {
    let mut netlink = RouteNetlink::route()?;
    for rule in netlink.rules(family)?.into_iter().filter(|rule| rule.mask != 0) {
        if is_ours(&rule, settings) || is_former(&mut netlink, &rule, settings)? {
            continue;
        }
        let is_before = rule.priority <= settings.rule_priority && rule.may_be_of_pods();
        // What asks for a mark is avoided, whatever its table has by now. What asks for none cannot be.
        let takes = is_before && (!rule.inverted || leads_anywhere(&mut netlink, &rule)?);
        if !takes && rule.inverted {
            continue;
        }
        found.push(MarkMatch {
            want: rule.mark & rule.mask,
            mask: rule.mask,
            inverted: rule.inverted,
            effect: if takes { MatchEffect::RoutedBefore } else { MatchEffect::Other },
            who: name(&rule),
        });
    }
    Ok(())
}

/// Whether a rule's table has a route for whatever is outside. Calico's for WireGuard has pods' ranges only.
fn leads_anywhere(netlink: &mut RouteNetlink, rule: &RuleRecord) -> std::io::Result<bool> {
    if !rule.to_table || rule.table == MAIN_TABLE {
        return Ok(true);
    }
    let routes = netlink.routes(rule.family, rule.table)?;
    // Two halves of everything are a usual way to say so.
    let is_wide = |route: &RouteRecord| {
        route.destination.prefix_len() <= 1 && route.target != RouteTarget::Throw
    };
    Ok(routes.iter().any(is_wide))
}

fn devices(
    settings: &HostSettings,
    netlink: &mut RouteNetlink,
    found: &mut BTreeSet<Collision>,
) -> std::io::Result<()> {
    for link in netlink.links()? {
        let ours = link.name == settings.device;
        if ours && link.vxlan.is_none() {
            found.insert(Collision {
                what: format!("the device name {}", settings.device),
                who: format!("a {} device", link.kind.as_deref().unwrap_or("hardware")),
                setting: "device",
            });
        }
        if !ours && link.vxlan.is_some_and(|vxlan| vxlan.port == settings.tunnel_port) {
            found.insert(Collision {
                what: format!("the UDP port {}", settings.tunnel_port),
                who: format!("the VXLAN device {}", link.name),
                setting: "tunnel port",
            });
        }
    }
    Ok(())
}

/// UDP sockets of processes on our ports. The tunnel device's own socket belongs to no process and
/// is left out: two tunnel devices on one port are found by [`devices`].
pub(super) fn sockets(settings: &HostSettings, found: &mut BTreeSet<Collision>) {
    let mut inodes: Vec<(u16, u64)> = Vec::new();
    for table in ["udp", "udp6"] {
        // A kernel without IPv6 has no udp6.
        let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
        inodes.extend(text.lines().skip(1).filter_map(socket));
    }
    for (port, setting) in
        [(settings.tunnel_port, "tunnel port"), (settings.peers_port, "peers port")]
    {
        for (_, inode) in inodes.iter().filter(|(used, _)| *used == port) {
            if let Some(process) = process_of(*inode) {
                let what = format!("the UDP port {port}");
                found.insert(Collision { what, who: process, setting });
            }
        }
    }
}

/// Local port and inode of a line of /proc/net/udp (Documentation: proc_net_tcp.rst).
fn socket(line: &str) -> Option<(u16, u64)> {
    let mut words = line.split_whitespace();
    let local = words.nth(1)?;
    let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    let inode = words.nth(7)?.parse().ok()?;
    Some((port, inode))
}

fn process_of(inode: u64) -> Option<String> {
    let name = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        for file in files.flatten() {
            if fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == name.as_str()) {
                let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                let pid = process.file_name();
                return Some(format!("process {} ({})", pid.to_string_lossy(), command.trim()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_udp_sockets_is_read() {
        let line = "  611: 00000000:1568 00000000:0000 07 00000000:00000000 00:00000000 00000000  \
                    0        0 28371 2 0000000000000000 0";
        assert_eq!(socket(line), Some((5480, 28371)));
        assert_eq!(socket("nonsense"), None);
    }
}
