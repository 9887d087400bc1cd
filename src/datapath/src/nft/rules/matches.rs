//! What the chains match and count by.

use egret_ports::steering::SteeringDrop;

use crate::constants::HostSettings;
use crate::nft::table::NftRule;

/// Counters of packets that are on their way, of one family.
pub(crate) struct WayCounters {
    pub(super) family: &'static str,
    /// First packets of selected connections: the probe's and the metric's.
    pub(crate) selected: &'static str,
    /// First packets that postrouting lets into the tunnel.
    pub(crate) entered: &'static str,
    /// What comes from the tunnel and has passed all that others have in prerouting and forward.
    pub(crate) returned: &'static str,
}

/// Those of IPv4.
pub(crate) const IPV4_WAY: WayCounters = WayCounters {
    family: "ipv4",
    selected: "selected_ipv4",
    entered: "entered_ipv4",
    returned: "returned_ipv4",
};
/// Those of IPv6.
pub(crate) const IPV6_WAY: WayCounters = WayCounters {
    family: "ipv6",
    selected: "selected_ipv6",
    entered: "entered_ipv6",
    returned: "returned_ipv6",
};

/// The counter of a reason, and what it counts.
pub(crate) fn counter(drop: SteeringDrop) -> (&'static str, &'static str) {
    let (name, meaning, _) = drop.describe();
    (name, meaning)
}

/// A first packet: conntrack has seen no reply, and has not confirmed the entry. Of a one-way UDP
/// flow every packet is `new`, and its NAT was decided at the first: only that one may be marked.
pub(super) const FIRST: &str = "ct state new ct status ! confirmed";

/// Matches connections that have an egress address with blocks on this node.
pub(super) const REPLIES_TO_EGRESS: [(&str, &str); 2] =
    [("ct reply ip daddr @egress4", "IPv4"), ("ct reply ip6 daddr @egress6", "IPv6")];

/// Matches packets that a claim selects.
pub(super) const SELECTED_PAIRS: [(&str, &str); 2] =
    [("ip saddr . ip daddr @selected4", "IPv4"), ("ip6 saddr . ip6 daddr @selected6", "IPv6")];

pub(super) fn dropped(drop: SteeringDrop) -> String {
    format!("counter name {} drop", counter(drop).0)
}

/// Matches what the side that opened a steered connection sends on it: pods, and errors about its replies.
/// Replies keep the main table, since they go to the pod.
pub(super) fn steered(HostSettings { mark: bit, .. }: &HostSettings) -> String {
    format!("ct mark & {bit:#x} == {bit:#x} ct direction original")
}

pub(super) fn never() -> [NftRule; 2] {
    [
        NftRule::new("ip daddr @never4 return", "never steered, IPv4"),
        NftRule::new("ip6 daddr @never6 return", "never steered, IPv6"),
    ]
}
