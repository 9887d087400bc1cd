//! Which uplink of this node carries an address.

use std::net::IpAddr;

use egret_core::model::Uplink as PublishedUplink;
use egret_datapath::host::Uplink;
use egret_ports::gateway::UplinkLink;

/// The uplink in whose subnet the address lies; `None` where this node cannot announce it. The
/// next hop is the routing table's: a gateway's uplink has a route to the world.
pub(crate) fn uplink_for(address: IpAddr, uplinks: &[Uplink]) -> Option<UplinkLink> {
    let serves = |uplink: &&Uplink| uplink.subnets().iter().any(|net| net.contains(&address));
    let uplink = uplinks.iter().find(serves)?;
    Some(UplinkLink { index: uplink.index, mac: uplink.mac, next_hop: None })
}

/// What the node's status says of its uplinks.
pub(crate) fn published(uplinks: &[Uplink]) -> Vec<PublishedUplink> {
    uplinks
        .iter()
        .map(|uplink| PublishedUplink {
            name: uplink.name.clone(),
            subnets: uplink.subnets().into_iter().collect(),
        })
        .collect()
}
