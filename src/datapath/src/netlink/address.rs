//! Addresses of links.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use egret_core::model::Family;
use ipnet::{IpNet, Ipv4Net};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::RouteNetlink;
use super::rule::address_family;

/// An address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressRecord {
    pub(crate) index: u32,
    /// The address with the length of its subnet; not truncated.
    pub(crate) address: IpNet,
    pub(crate) global: bool,
    /// Another address of the same subnet came before: the kernel removes this one with that one,
    /// unless it promotes it (`promote_secondaries`).
    pub(crate) secondary: bool,
    /// It stays: no IPv6 address that is temporary (RFC 8981), deprecated, tentative, or found to be
    /// another host's.
    pub(crate) lasting: bool,
    /// The kernel made no route to its subnet, since it was asked not to.
    pub(crate) no_prefix_route: bool,
    /// Its label says that it is Egret's.
    pub(crate) ownership: AddressOwnership,
}

/// Whose an address of a link is: an IPv4 address has a label for it, which the kernel keeps as long
/// as the address. It shows in `ip address`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AddressOwnership {
    #[default]
    Foreign,
    /// Egret gave it to the link.
    Ours,
    /// Egret gave it to the link, and brought that up.
    OursWithLink,
}

/// IFNAMSIZ without the byte that ends it (linux/if.h).
const LONGEST_LABEL: usize = 15;

impl AddressOwnership {
    const ALL_OURS: [(Self, &str); 2] = [(Self::Ours, ":egret"), (Self::OursWithLink, ":egret-up")];

    fn read(label: &str) -> Self {
        let of = |(_, end): &&(Self, &str)| label.ends_with(end);
        Self::ALL_OURS.iter().find(of).map_or(Self::Foreign, |(ownership, _)| *ownership)
    }

    /// The label of a link's address. Tools expect it to begin with the link's name.
    fn label(self, link: &str) -> Option<String> {
        let (_, end) = Self::ALL_OURS.iter().find(|(ownership, _)| *ownership == self)?;
        let begin: String = link.chars().take(LONGEST_LABEL - end.len()).collect();
        Some(format!("{begin}{end}"))
    }
}

impl RouteNetlink {
    /// All addresses of all links.
    pub(crate) fn addresses(&mut self) -> io::Result<Vec<AddressRecord>> {
        let answers = self.dump(|| RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewAddress(address) => record(&address),
                _ => None,
            })
            .collect())
    }

    /// Gives a link an IPv4 address of length 32, scope link; already so is success.
    pub(crate) fn add_address(&mut self, index: u32, address: Ipv4Addr) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = 32;
        message.header.scope = AddressScope::Link;
        message.header.index = index;
        message.attributes.push(AddressAttribute::Local(IpAddr::V4(address)));
        message.attributes.push(AddressAttribute::Address(IpAddr::V4(address)));
        match self.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// Gives a link an IPv4 address of global scope, with no route to its subnet; already so is success.
    pub(crate) fn give_address(
        &mut self,
        (index, name): (u32, &str),
        address: Ipv4Net,
        ownership: AddressOwnership,
    ) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = address.prefix_len();
        message.header.scope = AddressScope::Universe;
        message.header.index = index;
        message.attributes.push(AddressAttribute::Local(IpAddr::V4(address.addr())));
        message.attributes.push(AddressAttribute::Address(IpAddr::V4(address.addr())));
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
        message.attributes.extend(ownership.label(name).map(AddressAttribute::Label));
        match self.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// Takes an address from a link; absent is success.
    pub(crate) fn delete_address(&mut self, index: u32, address: IpNet) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = address_family(Family::of(address.addr()));
        message.header.prefix_len = address.prefix_len();
        message.header.index = index;
        message.attributes.push(AddressAttribute::Local(address.addr()));
        match self.change(RouteNetlinkMessage::DelAddress(message), 0) {
            Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => Ok(()),
            other => other,
        }
    }
}

fn record(message: &AddressMessage) -> Option<AddressRecord> {
    // On a point-to-point link IFA_ADDRESS is the peer; IFA_LOCAL is ours where it is there.
    let mut local = None;
    let mut address = None;
    let mut no_prefix_route = false;
    let mut ownership = AddressOwnership::Foreign;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Flags(flags) => {
                no_prefix_route = flags.contains(AddressFlags::Noprefixroute);
            }
            AddressAttribute::Label(label) => ownership = AddressOwnership::read(label),
            _ => {}
        }
    }
    Some(AddressRecord {
        index: message.header.index,
        address: IpNet::new(local.or(address)?, message.header.prefix_len).ok()?,
        global: message.header.scope == AddressScope::Universe,
        secondary: message.header.flags.contains(AddressHeaderFlags::Secondary),
        lasting: is_lasting(message),
        no_prefix_route,
        ownership,
    })
}

/// The bit of temporary IPv6 addresses is that of secondary IPv4 ones (linux/if_addr.h).
fn is_lasting(message: &AddressMessage) -> bool {
    let passing = AddressHeaderFlags::Secondary
        | AddressHeaderFlags::Deprecated
        | AddressHeaderFlags::Tentative
        | AddressHeaderFlags::Dadfailed;
    message.header.family != AddressFamily::Inet6 || !message.header.flags.intersects(passing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_says_whose_an_address_is_whatever_the_links_name() {
        use AddressOwnership::{Foreign, Ours, OursWithLink};
        for link in ["eth1", "ens5", "enp0s31f6", "a-name-that-is-"] {
            for ownership in [Ours, OursWithLink] {
                let label = ownership.label(link).unwrap();
                assert!(label.len() <= LONGEST_LABEL && label.starts_with(&link[..4]), "{label}");
                assert_eq!(AddressOwnership::read(&label), ownership);
            }
        }
        assert_eq!(Foreign.label("eth1"), None);
        assert_eq!(["eth1", "eth1:1", "egret"].map(AddressOwnership::read), [Foreign; 3]);
    }
}
