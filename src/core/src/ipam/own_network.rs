//! Addresses of the gateways' own networks that nobody can have: their routers', and those that mean a
//! whole subnet.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{EgressAddress, Snapshot};
use crate::reason::Reason;

/// What each of these addresses is, and why a claim that names it is refused.
pub(super) type OwnAddresses = BTreeMap<IpAddr, (Reason, String)>;

/// Why an address goes that turned out to be the network's own before anything left with it: pool and
/// claim may be there before the first agent has said which routers there are. A paused pool ends nothing.
pub(super) fn given_back(own: &OwnAddresses, address: &EgressAddress) -> Option<&'static str> {
    let gone = own.contains_key(&address.address) && address.is_unused() && !address.plan.paused;
    gone.then_some("it is the network's own, and was never held")
}

/// By what the agents publish of their uplinks.
pub(super) fn addresses(snapshot: &Snapshot) -> OwnAddresses {
    let mut own = OwnAddresses::new();
    for (node, stored) in &snapshot.egress_nodes {
        for uplink in &stored.value.status.uplinks {
            for router in &uplink.next_hops {
                own.entry(*router).or_insert_with(|| {
                    let what = format!("the next hop of node {node} on {}", uplink.name);
                    (Reason::AddressIsNextHop, what)
                });
            }
            for (address, what) in uplink.subnets.iter().flat_map(of_subnet) {
                own.entry(address).or_insert_with(|| {
                    (Reason::AddressReserved, format!("{what}, the subnet of node {node}"))
                });
            }
        }
    }
    own
}

/// The addresses that mean a subnet as a whole. A subnet of two has none (RFC 3021, RFC 6164).
fn of_subnet(subnet: &IpNet) -> Vec<(IpAddr, String)> {
    match subnet {
        _ if subnet.prefix_len() + 1 >= subnet.max_prefix_len() => Vec::new(),
        IpNet::V4(_) => vec![
            (subnet.network(), format!("the network address of {subnet}")),
            (subnet.broadcast(), format!("the broadcast address of {subnet}")),
        ],
        // RFC 4291 section 2.6.1: every router of the subnet answers for it.
        IpNet::V6(_) => vec![(subnet.network(), format!("the router anycast address of {subnet}"))],
    }
}
