//! Network interfaces that a cloud delivers to: whether Egret configures one, and whether it can carry
//! addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use egret_core::model::Attachment;
use egret_core::reason::AgentReason;
use egret_datapath::host::HostUplink;
use egret_datapath::interface::{FoundInterface, LinkManager};
use ipnet::{IpNet, Ipv4Net};

use crate::address_status::{mac_text, parse_mac};
use crate::interface_history::{Past, foreign_addresses};
use crate::local_addresses::PlacedAddresses;

/// An interface by which a cloud delivers, or would deliver, addresses to this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedInterface {
    /// What the cloud calls it.
    pub(crate) id: Option<String>,
    /// Its own address; `None` where the cloud does not say.
    pub(crate) own: Option<IpNet>,
    /// The router of its IPv4 subnet.
    pub(crate) router: Option<IpAddr>,
    /// IPv6 addresses are to leave there.
    pub(crate) carries_v6: bool,
}

/// By hardware address.
pub(crate) type NamedInterfaces = BTreeMap<[u8; 6], NamedInterface>;

/// The interfaces that attachments of this node name.
pub(crate) fn named_interfaces<'a>(
    attachments: impl IntoIterator<Item = (IpAddr, &'a Attachment)>,
) -> NamedInterfaces {
    let mut named = NamedInterfaces::new();
    for (address, at) in attachments {
        let Some(mac) = at.mac.as_deref().and_then(parse_mac) else { continue };
        let interface = named.entry(mac).or_default();
        let router = at.next_hop.filter(IpAddr::is_ipv4);
        interface.id = interface.id.take().or_else(|| at.interface.clone());
        interface.own = interface.own.or(at.primary_address);
        interface.router = interface.router.or(router);
        interface.carries_v6 |= at.wire.unwrap_or(address).is_ipv6();
    }
    named
}

/// What is to be done about an interface, or said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InterfaceDecision {
    /// It can carry addresses.
    Usable,
    /// Nothing can be said yet: it has just appeared, and who manages this host's links may be about to
    /// take it; or the kernel did not answer.
    Wait,
    /// It is nobody's: Egret gives it this address and brings it up.
    Configure(Ipv4Net),
    /// It cannot carry addresses, and it is not for Egret to change that.
    Unusable {
        /// Which kind of trouble.
        reason: AgentReason,
        /// What is so, and the remedy.
        message: String,
    },
}

/// This host, as far as it decides about an interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostView<'a> {
    /// The links that carry addresses.
    pub(crate) uplinks: &'a [HostUplink],
    /// The links of `--uplink`; none where Egret chooses.
    pub(crate) chosen: &'a [String],
    /// Addresses that this host must not have: whoever gave them to it configures nothing.
    pub(crate) placed: &'a PlacedAddresses,
}

/// `found` is the interface as it is, `past` what was seen of it before.
pub(crate) fn decide(
    (mac, named): (&[u8; 6], &NamedInterface),
    found: Option<&FoundInterface>,
    host: HostView<'_>,
    past: Past,
) -> InterfaceDecision {
    let carries = |uplink: &&HostUplink| {
        let own = named.own.map(|own| own.addr());
        uplink.mac == *mac || uplink.addresses.iter().any(|it| Some(it.addr()) == own)
    };
    let mut carrying = host.uplinks.iter().filter(carries).peekable();
    let carried = carrying.peek().is_some();
    let Some(found) = found else {
        let remedy = || "attach it to this instance, or unload what hides it".to_owned();
        return if carried {
            InterfaceDecision::Usable
        } else {
            unusable(AgentReason::InterfaceNotFound, (mac, named), "is not there", remedy())
        };
    };
    // A bond or bridge over it has its address.
    let carried_above = carrying.any(|uplink| uplink.index != found.index);
    let foreign = foreign_addresses(found, host.placed);
    if found.manager.is_none() && foreign.is_empty() && !carried_above {
        return decide_of_nobodys((mac, named), found, (host, carried), past);
    }
    if carried {
        return InterfaceDecision::Usable;
    }
    if found.up && !found.addresses.is_empty() {
        return not_carrying((mac, named), found);
    }
    left_alone((mac, named), found, &foreign)
}

/// Nobody manages it, and all of its addresses are Egret's.
fn decide_of_nobodys(
    (mac, named): (&[u8; 6], &NamedInterface),
    found: &FoundInterface,
    (host, carried): (HostView<'_>, bool),
    past: Past,
) -> InterfaceDecision {
    let has_own = found.addresses.iter().any(|it| Some(it.address) == named.own);
    match named.own {
        Some(_) if has_own && found.up && carried => InterfaceDecision::Usable,
        Some(_) if has_own && found.up => not_carrying((mac, named), found),
        None if found.up && carried => InterfaceDecision::Usable,
        _ if !host.chosen.is_empty() && !host.chosen.contains(&found.name) => {
            not_carrying((mac, named), found)
        }
        _ if past.others => abandoned((mac, named), found),
        _ if !past.settled => InterfaceDecision::Wait,
        Some(IpNet::V4(own)) if past.contested => contested((mac, named), found, own),
        Some(IpNet::V4(own)) => InterfaceDecision::Configure(own),
        _ => unnamed_address((mac, named), found),
    }
}

/// Up and with an address, and no uplink all the same.
fn not_carrying(
    (mac, named): (&[u8; 6], &NamedInterface),
    found: &FoundInterface,
) -> InterfaceDecision {
    let name = &found.name;
    let what = format!("({name}) carries no addresses");
    let remedy = format!(
        "add --uplink={name}; without that option give it an address with the length of its subnet"
    );
    unusable(AgentReason::InterfaceNotFound, (mac, named), &what, remedy)
}

/// Down, or without an address, and somebody else's.
fn left_alone(
    (mac, named): (&[u8; 6], &NamedInterface),
    found: &FoundInterface,
    foreign: &[IpNet],
) -> InterfaceDecision {
    let name = &found.name;
    let own = named.own.map_or_else(|| "its address".to_owned(), |own| own.to_string());
    let lacks = if found.up { "has no address" } else { "is down" };
    let (who, remedy) = match found.manager {
        Some(manager @ LinkManager::Networkd) => (
            format!("{manager} manages it"),
            format!(
                "have a .network file give it {own} (networkctl status {name} names the file), or \
                 leave it to Egret with Unmanaged=yes under [Link], and call networkctl reload"
            ),
        ),
        Some(manager @ LinkManager::NetworkManager) => (
            format!("{manager} manages it"),
            format!(
                "activate a connection with {own} there (nmcli device connect {name}), or leave it \
                 to Egret (nmcli device set {name} managed no)"
            ),
        ),
        Some(manager @ LinkManager::Stacked) => {
            (format!("there is {manager}"), format!("give that device {own} and a default route"))
        }
        None => {
            let addresses: Vec<String> = foreign.iter().map(ToString::to_string).collect();
            (
                format!("it has an address that is not Egret's ({})", addresses.join(", ")),
                format!(
                    "bring it up (ip link set {name} up), or take its addresses away (ip address \
                     flush dev {name}) and restart this node's agent, which then configures it"
                ),
            )
        }
    };
    let what = format!("({name}) {lacks}, and {who}");
    unusable(AgentReason::InterfaceUnusable, (mac, named), &what, remedy)
}

/// It has lost what somebody else gave it: who did may be about to do it again, and an address of
/// Egret's would be in the way.
fn abandoned(
    (mac, named): (&[u8; 6], &NamedInterface),
    found: &FoundInterface,
) -> InterfaceDecision {
    let name = &found.name;
    let what = format!("({name}) is down or has lost the address that was not Egret's");
    let remedy = format!(
        "have what configured {name} do it again (ifup {name}, or its DHCP client), or restart this \
         node's agent, which then configures it"
    );
    unusable(AgentReason::InterfaceUnusable, (mac, named), &what, remedy)
}

/// Somebody undoes what Egret does there, again and again.
fn contested(
    (mac, named): (&[u8; 6], &NamedInterface),
    found: &FoundInterface,
    own: Ipv4Net,
) -> InterfaceDecision {
    let name = &found.name;
    let what = format!("({name}) loses its address {own} or goes down again and again");
    let remedy = format!(
        "find what changes it (ip monitor link address), and have that leave {name} alone or give it \
         {own} itself"
    );
    unusable(AgentReason::InterfaceUnusable, (mac, named), &what, remedy)
}

fn unnamed_address(
    (mac, named): (&[u8; 6], &NamedInterface),
    found: &FoundInterface,
) -> InterfaceDecision {
    let what = format!("({}) is down or has no address", found.name);
    let remedy = "which IPv4 address is its own is not known here (the cloud has named none, or the \
                  controller is older than the agent): have this node's own tools configure the \
                  interface";
    unusable(AgentReason::InterfaceUnusable, (mac, named), &what, remedy.to_owned())
}

/// Of an interface that is usable but for its router; `answers` is `None` where the kernel did not say.
pub(crate) fn judge_router(
    about: (&[u8; 6], &NamedInterface),
    router: IpAddr,
    answers: Option<bool>,
) -> InterfaceDecision {
    match answers {
        Some(true) => InterfaceDecision::Usable,
        Some(false) => silent_router(about, router),
        None => InterfaceDecision::Wait,
    }
}

/// What is said of a router that does not answer.
fn silent_router((mac, named): (&[u8; 6], &NamedInterface), router: IpAddr) -> InterfaceDecision {
    let what = format!("gets no answer from its router {router}");
    let remedy = "look for a wrong subnet, or an interface that the cloud has detached (ip neighbour \
                  shows who answers)";
    unusable(AgentReason::RouterSilent, (mac, named), &what, remedy.to_owned())
}

fn unusable(
    reason: AgentReason,
    (mac, named): (&[u8; 6], &NamedInterface),
    what: &str,
    remedy: String,
) -> InterfaceDecision {
    let id = named.id.as_deref().unwrap_or("the interface");
    let message = format!("{id} with {} {what}: {remedy}", mac_text(*mac));
    InterfaceDecision::Unusable { reason, message }
}

#[cfg(test)]
mod tests;
