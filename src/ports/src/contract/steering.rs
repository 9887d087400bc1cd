//! The contract of [`Steering`], with real packets in network namespaces.
//!
//! Four namespaces stand for a pod, its director, the outside as the director's own uplink reaches
//! it, and the outside as the tunnel reaches it. The tunnel device is a veth here: what enters it
//! is what a gateway would get. The same server addresses are in both outsides, so that a packet
//! that went the wrong way is seen where it must not be. The director masquerades its pods as a CNI
//! does, with strict `rp_filter`.
//!
//! Needs root, iproute2, nftables and ping. Sends nothing beyond its own namespaces.

mod addresses;
mod fixture;
mod foreign_marks;
mod inbound;
mod invalid;
mod ipvs;
mod life;
mod load;
mod oracle;
mod own_traffic;
mod packets;
mod refusals;
mod steered;

use crate::steering::Steering;

pub use foreign_marks::{
    a_copied_connection_mark_steers_nothing, a_proxys_mark_without_a_proxy_is_another,
    a_wiped_connection_mark_leaks_nothing, an_overwritten_mark_leaks_nothing,
    another_mark_loses_no_connection, foreign_marks_are_left_alone,
    what_a_proxy_takes_is_left_to_it,
};
pub use inbound::{
    inbound_connections_are_answered, nodeport_and_cluster_addresses_work,
    the_destination_after_dnat_decides, the_nodes_own_traffic_is_left_alone,
};
pub use invalid::{control_without_rules, invalid_packets_never_leave};
pub use ipvs::{
    errors_about_what_ipvs_sends_reach_the_pod, what_ipvs_sends_elsewhere_goes_its_way,
    what_ipvs_sends_is_refused_by_name, what_ipvs_sends_may_be_long,
    what_ipvs_sends_to_outside_is_steered,
};
pub use life::{
    an_unchanged_config_writes_nothing, flushed_rules_are_noticed_and_put_back,
    foreign_tables_are_byte_equal_afterwards, nothing_leaks_without_the_tunnel,
    one_way_flows_from_before_are_not_half_steered, running_connections_are_left_alone,
};
pub use own_traffic::{
    errors_about_what_is_exempt_by_now_are_steered, the_directors_own_errors_are_steered,
    the_directors_own_errors_never_leak, the_nodes_own_connections_with_our_bit_go_their_way,
    what_a_proxy_sends_for_a_pod_is_steered, what_a_proxy_sends_is_refused_by_name,
    what_stays_in_the_cluster_is_not_lost,
};
pub use refusals::{
    a_late_block_revives_a_running_flow, an_unknown_pod_waits, every_refusal_has_its_counter,
    forged_frames_are_dropped, unsolicited_frames_go_no_further,
};
pub use steered::{
    never_steered_wins_over_a_wide_flow, ports_are_of_the_blocks, segments_fit_the_tunnel,
};

/// Makes the back end under test.
pub trait Factory {
    /// The back end.
    type Steering: Steering;

    /// A back end for the network namespace of the calling thread, over a tunnel device of `mtu`
    /// bytes.
    fn steering(&self, mtu: u32) -> Self::Steering;

    /// What it calls its own.
    fn names(&self) -> Names;

    /// Whether the destination after DNAT decides. A back end without a hook between DNAT and
    /// routing says no, and must drop what DNAT turned outside.
    fn marks_after_dnat(&self) -> bool {
        true
    }
}

/// What a back end calls its own.
#[derive(Clone, Debug)]
pub struct Names {
    /// The tunnel device.
    pub device: String,
    /// The mark that the policy rule matches, before [`Steering::set_packet_mark`].
    pub packet_mark: u32,
    /// The routing table.
    pub route_table: u32,
    /// The rule's priority.
    pub rule_priority: u32,
    /// UDP port of the tunnel.
    pub tunnel_port: u16,
    /// UDP port of the peers.
    pub peers_port: u16,
}
