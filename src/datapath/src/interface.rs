//! Network interfaces that a cloud delivers to: who configures them, and their own addresses.
//!
//! Where nobody does, Egret brings one up and gives it its own address. That address is a label's
//! (`eth1:egret-up`), by which a later process, and a person, know whose it is: every kernel keeps
//! labels, while the protocol of an address (IFA_PROTO) is from Linux 5.18 on. It comes without a
//! route to its subnet: another interface may be in that, and its traffic must not leave here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use egret_core::model::Family;
use egret_ports::error::PortError;
use ipnet::{IpNet, Ipv4Net};

use crate::netlink::address::{AddressOwnership, AddressRecord};
use crate::netlink::link::LinkRecord;
use crate::netlink::way::MAIN_TABLE;
use crate::netlink::{RouteNetlink, refused};

/// An interface as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundInterface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// It was set up; whether a cable is in it is another matter.
    pub up: bool,
    /// Its addresses of global scope with the length of their subnets.
    pub addresses: Vec<InterfaceAddress>,
    /// Whose business its configuration is.
    pub manager: Option<LinkManager>,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// With the length of its subnet.
    pub address: IpNet,
    /// Egret gave it to the interface.
    pub ours: bool,
}

/// Whose business the configuration of a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkManager {
    /// systemd-networkd.
    Networkd,
    /// NetworkManager.
    NetworkManager,
    /// Another device of this host has the same hardware address: a bond or a bridge over the link.
    Stacked,
}

impl fmt::Display for LinkManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Networkd => "systemd-networkd",
            Self::NetworkManager => "NetworkManager",
            Self::Stacked => "a bond or bridge with the same hardware address",
        })
    }
}

/// The Ethernet interfaces that `wanted` says yes to by hardware address, in order of index; of
/// several with one hardware address the first.
///
/// `run` is the host's /run, where its network managers say which links are theirs.
///
/// # Errors
/// `Transient` where the lists keep changing under the read.
pub fn find(
    wanted: impl Fn([u8; 6]) -> bool,
    run: &Path,
) -> Result<Vec<FoundInterface>, PortError> {
    let failed = |error: io::Error| refused("look for network interfaces", error);
    let mut netlink = RouteNetlink::route().map_err(failed)?;
    let mut links: Vec<(LinkRecord, [u8; 6])> = netlink
        .links()
        .map_err(failed)?
        .into_iter()
        .filter(|link| link.ethernet)
        .filter_map(|link| link.mac.filter(|mac| wanted(*mac)).map(|mac| (link, mac)))
        .collect();
    if links.is_empty() {
        return Ok(Vec::new());
    }
    links.sort_by_key(|(link, _)| link.index);
    let addresses = netlink.addresses().map_err(failed)?;
    let mut found: Vec<FoundInterface> = Vec::new();
    for (link, mac) in links {
        if let Some(below) = found.iter_mut().find(|other| other.mac == mac) {
            below.manager = Some(LinkManager::Stacked);
            continue;
        }
        let own = addresses.iter().filter(|address| address.index == link.index && address.global);
        found.push(FoundInterface {
            manager: manager(run, link.index),
            addresses: own.map(InterfaceAddress::of).collect(),
            name: link.name,
            index: link.index,
            mac,
            up: link.up,
        });
    }
    Ok(found)
}

/// The names of the Ethernet interfaces that have one of these hardware addresses, each alone.
///
/// # Errors
/// `Transient` where the list keeps changing under the read.
pub fn names(macs: &BTreeSet<[u8; 6]>) -> Result<Vec<String>, PortError> {
    if macs.is_empty() {
        return Ok(Vec::new());
    }
    let links = RouteNetlink::route().and_then(|mut netlink| netlink.links());
    let links = links.map_err(|error| refused("look for network interfaces", error))?;
    let mut found: BTreeMap<[u8; 6], Vec<String>> = BTreeMap::new();
    for link in links.into_iter().filter(|link| link.ethernet) {
        if let Some(mac) = link.mac.filter(|mac| macs.contains(mac)) {
            found.entry(mac).or_default().push(link.name);
        }
    }
    let alone = found.into_values().filter(|names| names.len() == 1);
    Ok(alone.flatten().collect())
}

/// Gives an interface its own address, and brings it up.
///
/// Guarantees: the kernel has no route to the address's subnet by it, and no IPv6 on a link
/// that was down: a router's advertisement must not make this interface a way
/// of the host's.
///
/// # Errors
/// `NotFound` where the interface is gone; `Denied` without CAP_NET_ADMIN.
pub fn configure(found: &FoundInterface, own: Ipv4Net) -> Result<(), PortError> {
    let failed = |error| refused(format!("give {} its address {own}", found.name), error);
    let mut netlink = RouteNetlink::route().map_err(failed)?;
    let wrong = found.addresses.iter().filter(|address| address.ours);
    for wrong in wrong.filter(|wrong| wrong.address != IpNet::V4(own)) {
        netlink.delete_address(found.index, wrong.address).map_err(failed)?;
    }
    let ownership = if found.up { AddressOwnership::Ours } else { AddressOwnership::OursWithLink };
    netlink.give_address((found.index, &found.name), own, ownership).map_err(failed)?;
    if !found.up {
        netlink.no_link_local(found.index).map_err(failed)?;
        netlink.set_flag_up(found.index, true).map_err(failed)?;
    }
    Ok(())
}

/// Takes back every address that Egret gave to an interface, and sets those down that it brought up,
/// where they have no other address, with the IPv6 that new links of this host get. Idempotent.
///
/// Leaves an interface as it is that has a manager by now (`run` as for [`find`]), or by which a default
/// route of the main table leaves: the node depends on it.
///
/// # Errors
/// `Transient` where the lists keep changing under the read; `Denied` without CAP_NET_ADMIN.
pub fn restore(run: &Path) -> Result<(), PortError> {
    let failed = |error: io::Error| refused("take back addresses of interfaces", error);
    let mut netlink = RouteNetlink::route().map_err(failed)?;
    let all = netlink.addresses().map_err(failed)?;
    let foreign = |address: &AddressRecord| address.ownership == AddressOwnership::Foreign;
    for own in all.iter().filter(|address| !foreign(address)) {
        if manager(run, own.index).is_some()
            || is_way_out(&mut netlink, own.index).map_err(failed)?
        {
            continue;
        }
        netlink.delete_address(own.index, own.address).map_err(failed)?;
        if own.ownership != AddressOwnership::OursWithLink {
            continue;
        }
        let mut others = all.iter().filter(|other| other.index == own.index && other.global);
        if others.all(|other| !foreign(other)) {
            netlink.set_flag_up(own.index, false).map_err(failed)?;
        }
        netlink.default_link_local(own.index).map_err(failed)?;
    }
    Ok(())
}

/// Whether a default route of the main table leaves there.
fn is_way_out(netlink: &mut RouteNetlink, index: u32) -> io::Result<bool> {
    for family in [Family::IPv4, Family::IPv6] {
        let ways = netlink.default_ways(family, MAIN_TABLE)?;
        if ways.iter().any(|way| way.device == index) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl InterfaceAddress {
    fn of(record: &AddressRecord) -> Self {
        let ours = record.ownership != AddressOwnership::Foreign;
        Self { address: record.address, ours }
    }
}

/// By the files that the managers keep of each link.
fn manager(run: &Path, index: u32) -> Option<LinkManager> {
    let read = |folder: &str| fs::read_to_string(run.join(folder).join(index.to_string()));
    if read("systemd/netif/links").is_ok_and(|text| is_networkds(&text)) {
        return Some(LinkManager::Networkd);
    }
    let by_network_manager = read("NetworkManager/devices").is_ok_and(|text| is_managed(&text));
    by_network_manager.then_some(LinkManager::NetworkManager)
}

/// What systemd-networkd keeps of each link that it knows (`link_save` in networkd-state-file.c):
/// `pending` until it has decided, and `unmanaged` where no .network file matches.
fn is_networkds(text: &str) -> bool {
    let state = text.lines().find_map(|line| line.strip_prefix("ADMIN_STATE="));
    state.is_some_and(|state| state.trim() != "unmanaged")
}

/// What NetworkManager keeps of a device (`nm_config_device_state_write` in nm-config.c): nothing of
/// one of which it has not decided.
fn is_managed(text: &str) -> bool {
    let value = text.lines().find_map(|line| line.trim().strip_prefix("managed="));
    value.is_some_and(|value| matches!(value.trim(), "true" | "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_networkd_is_one_that_it_does_not_leave_alone() {
        for (text, managed) in [
            (
                "# This is private data. Do not parse.\nADMIN_STATE=configured\nOPER_STATE=routable\n",
                true,
            ),
            ("ADMIN_STATE=configuring\n", true),
            ("ADMIN_STATE=pending\n", true),
            (
                "# This is private data. Do not parse.\nADMIN_STATE=unmanaged\nOPER_STATE=off\n",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(is_networkds(text), managed, "{text}");
        }
    }

    #[test]
    fn a_device_of_network_manager_says_so() {
        for (text, managed) in [
            ("[device]\nmanaged=true\nconnection-uuid=0a1b\nnm-owned=false\n", true),
            ("[device]\nmanaged=false\n", false),
            ("[device]\nnm-owned=false\n", false),
        ] {
            assert_eq!(is_managed(text), managed, "{text}");
        }
    }

    #[test]
    fn the_managers_files_are_found_by_the_links_index() {
        let run = tempfile::tempdir().unwrap();
        let write = |folder: &str, index: u32, text: &str| {
            let folder = run.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(index.to_string()), text).unwrap();
        };
        assert_eq!(manager(run.path(), 3), None);
        write("systemd/netif/links", 3, "ADMIN_STATE=unmanaged\n");
        write("systemd/netif/links", 4, "ADMIN_STATE=configured\n");
        write("NetworkManager/devices", 3, "[device]\nmanaged=true\n");
        let managers = [3, 4, 5].map(|index| manager(run.path(), index));
        assert_eq!(
            managers,
            [Some(LinkManager::NetworkManager), Some(LinkManager::Networkd), None]
        );
    }
}
