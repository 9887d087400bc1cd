//! The network by which the nodes reach each other: its addresses here, and what it carries.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use egret_core::model::Family;
use egret_datapath::host::HostUplink;
use egret_datapath::{link, local_address};
use egret_ports::error::PortError;
use ipnet::IpNet;
use tracing::warn;

use crate::error::AgentError;
use crate::tunnel_endpoints::{HostAddresses, TunnelEndpoints, WantedEndpoints};

/// What has come of [`Kernel::follow_endpoints`](super::Kernel::follow_endpoints).
#[derive(Debug)]
pub(crate) struct FollowedEndpoints {
    pub(crate) looked: Result<(), PortError>,
    /// `None` where there was nothing to repair.
    pub(crate) repaired: Option<Result<(), PortError>>,
}

/// Both ends of the tunnel use the family of the node's first endpoint.
pub(super) fn family(endpoints: &[IpAddr]) -> Family {
    endpoints.first().map_or(Family::IPv4, |endpoint| Family::of(*endpoint))
}

/// The MTU of the link that the tunnel's endpoint is on; but no more than lets the tunnel carry what an uplink
/// can, since what a gateway sends to the world is neither fragmented nor refused with an ICMP error there.
pub(super) fn underlay_mtu(
    (uplinks, others): (&[HostUplink], &[HostUplink]),
    (endpoints, outer): (&[IpAddr], Family),
) -> u32 {
    let on = |endpoint: &IpAddr| {
        let is_on = |link: &&HostUplink| link.addresses.iter().any(|net| net.addr() == *endpoint);
        uplinks.iter().chain(others).find(is_on)
    };
    let Some(link) = endpoints.iter().find_map(on).or(uplinks.first()) else { return 1500 };
    let carried = uplinks.iter().map(|uplink| uplink.mtu + link::overhead(outer));
    carried.fold(link.mtu, u32::min)
}

pub(super) fn choose_endpoints(
    wanted: &WantedEndpoints,
    (uplinks, others): (&[HostUplink], &[HostUplink]),
    egress: &BTreeSet<IpAddr>,
) -> Result<TunnelEndpoints, AgentError> {
    let given = if let WantedEndpoints::Given(given) = wanted { given.as_slice() } else { &[] };
    let present = present(given, uplinks.iter().chain(others))?;
    let host = HostAddresses { uplinks, others, present: &present, egress };
    let now = Instant::now();
    // An egress address by what an earlier process kept, which may be the only one that this node has by now.
    let any = HostAddresses { egress: &BTreeSet::new(), ..host };
    let chosen = TunnelEndpoints::choose(wanted, &host, now)
        .or_else(|_| TunnelEndpoints::choose(wanted, &any, now))?;
    if chosen.is_astray() && matches!(wanted, WantedEndpoints::OfNode(_)) {
        warn!(
            node_addresses = ?wanted.nets(), endpoints = ?chosen.current(),
            "no Ethernet link has an address by which Kubernetes knows this node: the tunnel ends at the \
             first uplink until one has; --endpoint names another network"
        );
    }
    Ok(chosen)
}

/// The addresses of the links, and which of `wanted` are this host's elsewhere.
pub(super) fn present<'a>(
    wanted: &[IpAddr],
    links: impl Iterator<Item = &'a HostUplink>,
) -> Result<BTreeSet<IpAddr>, PortError> {
    let on_links = links.flat_map(|link| &link.addresses);
    let mut present: BTreeSet<IpAddr> = on_links.map(IpNet::addr).collect();
    for address in wanted {
        if !present.contains(address) && local_address::is_own(*address)? {
            present.insert(*address);
        }
    }
    Ok(present)
}
