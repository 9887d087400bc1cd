//! The nftables back end under the contract of `Steering`. Needs root, iproute2, nftables, ping.

use egret_datapath::nft::NftSteering;
use egret_datapath::{HostSettings, packet_mark};
use egret_ports::contract::steering::{self, Factory, Names};

struct Nft;

impl Factory for Nft {
    type Steering = NftSteering;

    fn steering(&self, mtu: u32) -> NftSteering {
        NftSteering::new(HostSettings::default(), mtu)
    }

    fn names(&self) -> Names {
        let settings = HostSettings::default();
        Names {
            device: settings.device,
            packet_mark: packet_mark::DEFAULT,
            route_table: settings.route_table,
            rule_priority: settings.rule_priority,
            tunnel_port: settings.tunnel_port,
            peers_port: settings.peers_port,
        }
    }
}

#[test]
fn ports_are_of_the_blocks() {
    steering::ports_are_of_the_blocks(&Nft);
}

#[test]
fn never_steered_wins_over_a_wide_flow() {
    steering::never_steered_wins_over_a_wide_flow(&Nft);
}

#[test]
fn segments_fit_the_tunnel() {
    steering::segments_fit_the_tunnel(&Nft);
}

#[test]
fn inbound_connections_are_answered() {
    steering::inbound_connections_are_answered(&Nft);
}

#[test]
fn nodeport_and_cluster_addresses_work() {
    steering::nodeport_and_cluster_addresses_work(&Nft);
}

#[test]
fn the_destination_after_dnat_decides() {
    steering::the_destination_after_dnat_decides(&Nft);
}

#[test]
fn the_nodes_own_traffic_is_left_alone() {
    steering::the_nodes_own_traffic_is_left_alone(&Nft);
}

#[test]
fn control_without_rules() {
    steering::control_without_rules(&Nft);
}

#[test]
fn invalid_packets_never_leave() {
    steering::invalid_packets_never_leave(&Nft);
}

#[test]
fn a_late_block_revives_a_running_flow() {
    steering::a_late_block_revives_a_running_flow(&Nft);
}

#[test]
fn every_refusal_has_its_counter() {
    steering::every_refusal_has_its_counter(&Nft);
}

#[test]
fn forged_frames_are_dropped() {
    steering::forged_frames_are_dropped(&Nft);
}

#[test]
fn unsolicited_frames_go_no_further() {
    steering::unsolicited_frames_go_no_further(&Nft);
}

#[test]
fn running_connections_are_left_alone() {
    steering::running_connections_are_left_alone(&Nft);
}

#[test]
fn nothing_leaks_without_the_tunnel() {
    steering::nothing_leaks_without_the_tunnel(&Nft);
}

#[test]
fn flushed_rules_are_noticed_and_put_back() {
    steering::flushed_rules_are_noticed_and_put_back(&Nft);
}

#[test]
fn an_unchanged_config_writes_nothing() {
    steering::an_unchanged_config_writes_nothing(&Nft);
}

#[test]
fn foreign_tables_are_byte_equal_afterwards() {
    steering::foreign_tables_are_byte_equal_afterwards(&Nft);
}

#[test]
fn one_way_flows_from_before_are_not_half_steered() {
    steering::one_way_flows_from_before_are_not_half_steered(&Nft);
}

#[test]
fn an_unknown_pod_waits() {
    steering::an_unknown_pod_waits(&Nft);
}

#[test]
fn foreign_marks_are_left_alone() {
    steering::foreign_marks_are_left_alone(&Nft);
}

#[test]
fn a_copied_connection_mark_steers_nothing() {
    steering::a_copied_connection_mark_steers_nothing(&Nft);
}

#[test]
fn an_overwritten_mark_leaks_nothing() {
    steering::an_overwritten_mark_leaks_nothing(&Nft);
}

#[test]
fn the_directors_own_errors_are_steered() {
    steering::the_directors_own_errors_are_steered(&Nft);
}

#[test]
fn the_directors_own_errors_never_leak() {
    steering::the_directors_own_errors_never_leak(&Nft);
}

#[test]
fn a_wiped_connection_mark_leaks_nothing() {
    steering::a_wiped_connection_mark_leaks_nothing(&Nft);
}

#[test]
fn another_mark_loses_no_connection() {
    steering::another_mark_loses_no_connection(&Nft);
}

#[test]
fn what_a_proxy_takes_is_left_to_it() {
    steering::what_a_proxy_takes_is_left_to_it(&Nft);
}

#[test]
fn what_stays_in_the_cluster_is_not_lost() {
    steering::what_stays_in_the_cluster_is_not_lost(&Nft);
}

#[test]
fn a_proxys_mark_without_a_proxy_is_another() {
    steering::a_proxys_mark_without_a_proxy_is_another(&Nft);
}

#[test]
fn the_nodes_own_connections_with_our_bit_go_their_way() {
    steering::the_nodes_own_connections_with_our_bit_go_their_way(&Nft);
}

#[test]
fn what_a_proxy_sends_for_a_pod_is_steered() {
    steering::what_a_proxy_sends_for_a_pod_is_steered(&Nft);
}

#[test]
fn what_a_proxy_sends_is_refused_by_name() {
    steering::what_a_proxy_sends_is_refused_by_name(&Nft);
}

#[test]
fn errors_about_what_is_exempt_by_now_are_steered() {
    steering::errors_about_what_is_exempt_by_now_are_steered(&Nft);
}

#[test]
#[ignore = "needs IPVS: make vm"]
fn what_ipvs_sends_to_outside_is_steered() {
    steering::what_ipvs_sends_to_outside_is_steered(&Nft);
}

#[test]
#[ignore = "needs IPVS: make vm"]
fn what_ipvs_sends_elsewhere_goes_its_way() {
    steering::what_ipvs_sends_elsewhere_goes_its_way(&Nft);
}

#[test]
#[ignore = "needs IPVS: make vm"]
fn what_ipvs_sends_is_refused_by_name() {
    steering::what_ipvs_sends_is_refused_by_name(&Nft);
}

#[test]
#[ignore = "needs IPVS: make vm"]
fn what_ipvs_sends_may_be_long() {
    steering::what_ipvs_sends_may_be_long(&Nft);
}

#[test]
#[ignore = "needs IPVS: make vm"]
fn errors_about_what_ipvs_sends_reach_the_pod() {
    steering::errors_about_what_ipvs_sends_reach_the_pod(&Nft);
}
