//! Users of our rule priority, routing table, device, ports, and of our bit in legacy iptables.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use egret_core::model::Family;
use egret_ports::error::PortError;
use egret_ports::steering::Collision;

use crate::constants::HostSettings;
use crate::former::is_former;
use crate::netlink::{RouteNetlink, no_such_family, refused};
use crate::rule::is_ours;

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
        let who = format!(
            "the {family} rule of priority {} to table {}, fwmark {:#x}/{:#x}",
            rule.priority, rule.table, rule.mark, rule.mask
        );
        let mut add = |what: String, setting| {
            found.insert(Collision { what, who: who.clone(), setting });
        };
        if rule.priority == settings.rule_priority {
            add(format!("the rule priority {}", rule.priority), "rule priority");
        }
        if rule.table == settings.route_table {
            add(format!("the routing table {}", rule.table), "routing table");
        }
        if rule.mask != u32::MAX && rule.mask & settings.mark != 0 || rule.mark & settings.mark != 0
        {
            add(format!("the mark bit {:#x}", settings.mark), "mark");
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

/// Rules of iptables, legacy or nft, where their tools are installed: `nft` shows neither
/// the legacy ones nor the arguments of xtables matches.
pub(super) fn legacy_iptables(settings: &HostSettings, found: &mut BTreeSet<Collision>) {
    let families = ["iptables", "ip6tables"];
    let flavours = ["-save", "-nft-save", "-legacy-save"];
    for family in families {
        for flavour in flavours {
            let tool = format!("{family}{flavour}");
            let output = Command::new(&tool).stdin(Stdio::null()).stderr(Stdio::null()).output();
            let Ok(output) = output else { continue };
            let text = String::from_utf8_lossy(&output.stdout);
            for line in text.lines().filter(|line| iptables_bits(line) & settings.mark != 0) {
                found.insert(Collision {
                    what: format!("the mark bit {:#x}", settings.mark),
                    who: format!("the {family} rule `{line}`"),
                    setting: "mark",
                });
            }
        }
    }
}

/// Bits of the mark that a line of iptables-save reads or writes, by the same measure as in nft.
fn iptables_bits(line: &str) -> u32 {
    let mut words = line.split_whitespace().peekable();
    let mut bits = 0;
    while let Some(word) = words.next() {
        match word {
            "--mark" | "--set-xmark" | "--set-mark" => {
                bits |= words.peek().map_or(0, |value| value_and_mask(value));
            }
            "--save-mark" | "--restore-mark" => bits |= u32::MAX,
            // Follows --save-mark or --restore-mark and narrows it.
            "--nfmask" | "--ctmask" => {
                bits = words.peek().and_then(|value| hex(value)).unwrap_or(u32::MAX);
            }
            _ => {}
        }
    }
    bits
}

fn value_and_mask(text: &str) -> u32 {
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    let mask = match hex(mask) {
        Some(u32::MAX) | None => 0,
        Some(mask) => mask,
    };
    hex(value).unwrap_or(0) | mask
}

fn hex(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_iptables_are_read() {
        let mark = "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000";
        assert_eq!(iptables_bits(mark), 0x4000);
        assert_eq!(iptables_bits("-A X -m mark --mark 0x1000/0x1000 -j ACCEPT"), 0x1000);
        assert_eq!(iptables_bits("-A X -j MARK --set-xmark 0x1/0xffffffff"), 1);
        let save = "-A X -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80";
        assert_eq!(iptables_bits(save), 0x80);
        let all = "-A X -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff";
        assert_eq!(iptables_bits(all), u32::MAX);
        assert_eq!(iptables_bits("-A X -j CONNMARK --save-mark"), u32::MAX);
        assert_eq!(iptables_bits("-A X -p tcp --dport 4096 -j ACCEPT"), 0);
    }

    #[test]
    fn a_line_of_udp_sockets_is_read() {
        let line = "  611: 00000000:1568 00000000:0000 07 00000000:00000000 00:00000000 00000000  \
                    0        0 28371 2 0000000000000000 0";
        assert_eq!(socket(line), Some((5480, 28371)));
        assert_eq!(socket("nonsense"), None);
    }
}
