//! Two questions to nftables that need no process: the number of the rule set's generation, which
//! every transaction of anybody in this network namespace raises by one, and whether a table is
//! there.

use std::io;

use netlink_packet_netfilter::nftables::{
    GenAttribute, GenMessage, NfTablesMessage, TableAttribute, TableMessage,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::netlink::Netlink;

/// The generation now.
pub(crate) fn generation() -> io::Result<u32> {
    let ask = NfTablesMessage::GetGen(GenMessage { attributes: Vec::new() });
    let answers = request(NetfilterProtoFamily::Unspec, ask)?;
    let id = answers.into_iter().find_map(|answer| match answer {
        NfTablesMessage::NewGen(message) => message.attributes.into_iter().find_map(|a| match a {
            GenAttribute::Id(id) => Some(id),
            _ => None,
        }),
        _ => None,
    });
    id.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Whether a table of family inet is there.
pub(crate) fn has_table(name: &str) -> io::Result<bool> {
    let attributes = vec![TableAttribute::Name(name.to_owned())];
    let ask = NfTablesMessage::GetTable(TableMessage { attributes });
    match request(NetfilterProtoFamily::Inet, ask) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

fn request(family: NetfilterProtoFamily, ask: NfTablesMessage) -> io::Result<Vec<NfTablesMessage>> {
    let mut netlink = Netlink::<NetfilterMessage>::new(NETLINK_NETFILTER)?;
    let header = NetfilterHeader::new(family, 0, 0);
    let answers = netlink.get(NetfilterMessage::new(header, ask))?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer.inner {
            NetfilterMessageInner::NfTables(message) => Some(message),
            _ => None,
        })
        .collect())
}
