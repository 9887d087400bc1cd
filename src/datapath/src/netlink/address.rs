//! Addresses of links.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::RouteNetlink;

/// An address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressRecord {
    pub(crate) index: u32,
    /// The address with the length of its subnet; not truncated.
    pub(crate) address: IpNet,
    pub(crate) global: bool,
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
}

fn record(message: &AddressMessage) -> Option<AddressRecord> {
    // On a point-to-point link IFA_ADDRESS is the peer; IFA_LOCAL is ours where it is there.
    let mut local = None;
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            _ => {}
        }
    }
    Some(AddressRecord {
        index: message.header.index,
        address: IpNet::new(local.or(address)?, message.header.prefix_len).ok()?,
        global: message.header.scope == AddressScope::Universe,
    })
}
