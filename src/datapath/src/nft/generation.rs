//! The number of the rule set's generation: every transaction of anybody in this network
//! namespace raises it by one.

use std::io;

use netlink_packet_netfilter::nftables::{GenAttribute, GenMessage, NfTablesMessage};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::netlink::Netlink;

/// The generation now.
pub(crate) fn generation() -> io::Result<u32> {
    let mut netlink = Netlink::<NetfilterMessage>::new(NETLINK_NETFILTER)?;
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    let ask = NfTablesMessage::GetGen(GenMessage { attributes: Vec::new() });
    let answers = netlink.get(NetfilterMessage::new(header, ask))?;
    answers
        .into_iter()
        .find_map(|answer| match answer.inner {
            NetfilterMessageInner::NfTables(NfTablesMessage::NewGen(message)) => {
                message.attributes.into_iter().find_map(|attribute| match attribute {
                    GenAttribute::Id(id) => Some(id),
                    _ => None,
                })
            }
            _ => None,
        })
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}
