//! Who is who.

use std::net::IpAddr;

use egret_core::model::PortRange;
use egret_core::node_config::{Flow, FlowAction, SteeringConfig};
use ipnet::IpNet;

/// One address of each family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Both {
    pub(super) v4: &'static str,
    pub(super) v6: &'static str,
}

impl Both {
    pub(super) fn each(self) -> [IpAddr; 2] {
        [self.v4, self.v6].map(|text| text.parse().unwrap_or_else(|e| panic!("{text}: {e}")))
    }
}

/// The selected pod.
pub(super) const POD: Both = Both { v4: "10.244.1.2", v6: "fd00:244::2" };
/// An address of the same pod that no flow selects.
pub(super) const OTHER: Both = Both { v4: "10.244.1.3", v6: "fd00:244::3" };
/// The director on the pods' side.
pub(super) const BRIDGE: Both = Both { v4: "10.244.1.1", v6: "fd00:244::1" };
/// The director on its uplink.
pub(super) const NODE: Both = Both { v4: "192.0.2.11", v6: "2001:db8:2::11" };
/// The router on the director's uplink: a neighbour, and no node of the cluster.
pub(super) const ROUTER: Both = Both { v4: "192.0.2.1", v6: "2001:db8:2::1" };
/// A node of the cluster, on the director's uplink.
pub(super) const PEER: Both = Both { v4: "192.0.2.12", v6: "2001:db8:2::12" };
/// The servers: one in each outside.
pub(super) const SERVER: Both = Both { v4: "198.51.100.1", v6: "2001:db8:100::1" };
/// Servers of the same kind that are never steered to.
pub(super) const NEVER: Both = Both { v4: "198.51.100.99", v6: "2001:db8:100::99" };
/// The egress addresses.
pub(super) const EGRESS: Both = Both { v4: "203.0.113.17", v6: "2001:db8:113::17" };

/// MTU of the tunnel device in bytes.
pub(super) const MTU: u32 = 1450;

/// The port of every server.
pub(super) const PORT: u16 = 7000;

pub(super) fn net(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(super) fn block(first: u16, last: u16) -> PortRange {
    PortRange::new(first, last).unwrap_or_else(|| panic!("{first}-{last} is no range"))
}

/// What is never steered, and who the nodes are; no flows.
pub(super) fn idle() -> SteeringConfig {
    let never = [
        "10.244.0.0/16",
        "10.96.0.0/12",
        "fd00:244::/48",
        "198.51.100.99/32",
        "2001:db8:100::99/128",
        "192.0.2.11/32",
        "2001:db8:2::11/128",
        "fe80::/10",
        "ff00::/8",
        "224.0.0.0/4",
    ];
    SteeringConfig {
        never_steered: never.map(net).into(),
        peers: PEER.each().into_iter().chain(NODE.each()).collect(),
        ..SteeringConfig::default()
    }
}

/// The pod's traffic to the servers' networks leaves with the egress addresses and these ports.
pub(super) fn steered(blocks: &[PortRange]) -> SteeringConfig {
    let mut config = with_action(None);
    if !blocks.is_empty() {
        for address in EGRESS.each() {
            config.blocks.insert(address, blocks.iter().copied().collect());
        }
    }
    config
}

/// The same flows with another action.
pub(super) fn refused(action: FlowAction) -> SteeringConfig {
    with_action(Some(action))
}

fn with_action(action: Option<FlowAction>) -> SteeringConfig {
    let mut config = idle();
    let networks = [net("198.51.100.0/26"), net("2001:db8:100::/122")];
    for ((pod, network), address) in POD.each().into_iter().zip(networks).zip(EGRESS.each()) {
        config.flows.push(Flow {
            source: IpNet::from(pod),
            destination: network,
            action: action.unwrap_or(FlowAction::Steer { address }),
        });
    }
    config.flows.sort();
    config
}
