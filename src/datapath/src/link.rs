//! The tunnel device.

use egret_core::model::Family;
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::steering::Applied;

use crate::constants::HostSettings;
use crate::netlink::link::LinkRecord;
use crate::netlink::{RouteNetlink, refused};

/// What the tunnel costs each packet: outer Ethernet, IP, UDP and VXLAN headers, in bytes.
#[must_use]
pub fn overhead(underlay: Family) -> u32 {
    match underlay {
        Family::IPv4 => 50,
        Family::IPv6 => 70,
    }
}

/// The smallest uplink that carries IPv6 in the tunnel (RFC 8200 section 5: 1,280 bytes).
const SMALLEST_IPV6: u32 = 1280;

/// The tunnel device as it is after [`ensure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Interface index. Another one than before: the device was made anew, and what was attached
    /// to it (programs, routes) went with the old one.
    pub index: u32,
    /// MTU in bytes.
    pub mtu: u32,
    /// Whether something had to be written.
    pub applied: Applied,
}

/// Makes the tunnel device be there: VXLAN in external mode on the tunnel's port, no ARP, MTU
/// `uplink_mtu` less the tunnel's headers, `rp_filter` 2, IPv4 `forwarding`, with its address, up.
///
/// Adopts a device that is right, corrects what can be changed in place, and replaces a VXLAN
/// device that is on another port or not external.
///
/// # Errors
/// `Conflict` where a device of the name exists that is no VXLAN device (it is left alone) or
/// another device has the port; `Invalid` where `uplink_mtu` is too small or the kernel lacks VXLAN;
/// `Denied` without CAP_NET_ADMIN.
pub fn ensure(
    settings: &HostSettings,
    underlay: Family,
    uplink_mtu: u32,
) -> Result<Tunnel, PortError> {
    let name = &settings.device;
    let operation = || format!("make the tunnel device {name}");
    let mtu = uplink_mtu.saturating_sub(overhead(underlay));
    if mtu < SMALLEST_IPV6 {
        let remedy = format!(
            "an MTU of {uplink_mtu} leaves {mtu} bytes in the tunnel, IPv6 needs {SMALLEST_IPV6}: raise the MTU \
             of the link that the tunnel uses"
        );
        return Err(PortError::new(ErrorClass::Invalid, operation(), remedy));
    }
    let mut netlink = RouteNetlink::route().map_err(|e| refused(operation(), e))?;
    let mut applied = Applied::AlreadySo;
    let found = netlink.link(name).map_err(|e| refused(operation(), e))?;
    let link = match found {
        Some(link) if is_tunnel(&link, settings) => link,
        other => {
            if let Some(link) = other {
                remove_own(&mut netlink, settings, &link)?;
            }
            applied = Applied::Changed;
            netlink.add_vxlan(name, settings.tunnel_port).map_err(|e| refused(operation(), e))?;
            let made = netlink.link(name).map_err(|e| refused(operation(), e))?;
            let made = made.ok_or_else(|| {
                PortError::new(ErrorClass::Transient, operation(), "it was removed at once")
            })?;
            netlink.no_link_local(made.index).map_err(|e| refused(operation(), e))?;
            made
        }
    };
    if !is_right(&link, mtu) {
        applied = Applied::Changed;
        netlink.set_up(link.index, mtu).map_err(|e| refused(operation(), e))?;
    }
    if ensure_address(&mut netlink, settings, link.index)? == Applied::Changed {
        applied = Applied::Changed;
    }
    Ok(Tunnel { index: link.index, mtu, applied })
}

/// Makes sure that the tunnel device carries IPv6: a switch on the device takes its routes away, and nothing tells when
/// it is back.
///
/// # Errors
/// `Denied`, with the remedy, while IPv6 is switched off on the device: /proc/sys is read-only in a container, and
/// netlink does not set it.
pub fn require_ipv6(settings: &HostSettings) -> Result<(), PortError> {
    let name = &settings.device;
    let operation = || format!("send IPv6 by {name}");
    let link = RouteNetlink::route().and_then(|mut netlink| netlink.link(name));
    let link = link.map_err(|error| refused(operation(), error))?;
    if link.and_then(|link| link.disable_ipv6) != Some(true) {
        return Ok(());
    }
    let remedy = format!(
        "IPv6 is switched off there, and selected pods' IPv6 is dropped: sysctl -w net.ipv6.conf.{name}.disable_ipv6=0, and \
         keep net.ipv6.conf.default.disable_ipv6=0"
    );
    Err(PortError::new(ErrorClass::Denied, operation(), remedy))
}

/// Removes the tunnel device; absent is success.
///
/// # Errors
/// `Conflict` where a device of the name is no VXLAN device: it is somebody else's.
pub fn remove(settings: &HostSettings) -> Result<(), PortError> {
    let operation = || format!("remove the tunnel device {}", settings.device);
    let mut netlink = RouteNetlink::route().map_err(|e| refused(operation(), e))?;
    match netlink.link(&settings.device).map_err(|e| refused(operation(), e))? {
        Some(link) => remove_own(&mut netlink, settings, &link),
        None => Ok(()),
    }
}

fn is_tunnel(link: &LinkRecord, settings: &HostSettings) -> bool {
    link.vxlan.is_some_and(|vxlan| vxlan.external && vxlan.port == settings.tunnel_port)
}

/// Without `forwarding` the kernel drops what comes out of the tunnel for a pod: hosts that are hardened have it
/// off by default.
fn is_right(link: &LinkRecord, mtu: u32) -> bool {
    let settings = (link.rp_filter, link.forwarding);
    link.up && link.no_arp && link.mtu == mtu && settings == (Some(2), Some(1))
}

fn remove_own(
    netlink: &mut RouteNetlink,
    settings: &HostSettings,
    link: &LinkRecord,
) -> Result<(), PortError> {
    let operation = || format!("remove the device {}", settings.device);
    if link.kind.as_deref() != Some("vxlan") {
        let kind = link.kind.as_deref().unwrap_or("hardware");
        let remedy = format!("it is a {kind} device of somebody else: choose another device name");
        return Err(PortError::new(ErrorClass::Conflict, operation(), remedy));
    }
    match netlink.delete_link(link.index) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        other => other.map_err(|e| refused(operation(), e)),
    }
}

/// The address keeps `rp_filter` from dropping decapsulated replies: with none even the loose
/// check drops them where `all.rp_filter` is 1 (fib_validate_source, net/ipv4/fib_frontend.c).
fn ensure_address(
    netlink: &mut RouteNetlink,
    settings: &HostSettings,
    index: u32,
) -> Result<Applied, PortError> {
    let operation = || format!("give {} its address", settings.device);
    let addresses = netlink.addresses().map_err(|e| refused(operation(), e))?;
    let address = settings.device_address;
    if addresses.iter().any(|a| a.index == index && a.address.addr() == address) {
        return Ok(Applied::AlreadySo);
    }
    netlink.add_address(index, address).map_err(|e| refused(operation(), e))?;
    Ok(Applied::Changed)
}
