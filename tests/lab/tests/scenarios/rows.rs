//! The rows: the laboratory itself, then those that share one and leave it as they found it, then
//! those with one of their own.
//!
//! A row runs alone where what it asserts depends on how fast this machine is. The bound of most rows
//! is 5 s, many times what they take; they run beside others.

mod aws_attach;
mod aws_moves;
mod aws_vpc;
mod aws_weather;
mod laboratory;
mod nodes;
mod one_way;
mod repair;
mod s01_gateway_node_poweroff;
mod s06_agent_kill9;
mod s10_controller;
mod s11_apiserver_outage;
mod s17_conflict;
mod s24_first_packet;
mod s25_claim;
mod s26_no_gateway;
mod s30_drain;
mod s41_inbound;
mod s51_negative_control;
mod tunnel;
mod upgrade;

use egret_lab::bench::Row;

use crate::region::{PAIR, TRIO};

pub const ALL: &[Row] = &[
    Row::beside("laboratory_reaches_everything", laboratory::reaches_everything).own().takes(2),
    Row::beside("laboratory_oracles_can_fail", laboratory::oracles_can_fail).own().takes(2),
    Row::beside("laboratory_faults_do_what_they_say", laboratory::faults).own().takes(6),
    Row::beside("aws_vpc_behaves_as_ec2", aws_vpc::as_ec2).own().takes(20),
    Row::beside("s51_negative_control", s51_negative_control::run).own(),
    Row::beside("s41_inbound_and_intracluster_not_snated", s41_inbound::run).takes(1),
    Row::beside("external_endpoint_after_dnat", s41_inbound::external_endpoint).takes(1),
    Row::beside("nothing_listens_on_the_egress_address", s41_inbound::nothing_listens),
    Row::beside("s24_first_packet_of_a_new_pod", s24_first_packet::new_pods).takes(37),
    Row::beside("strange_packets_do_not_leak", s24_first_packet::strange_packets).takes(1),
    Row::beside("forged_tunnel_frames", tunnel::forged_frames).takes(1),
    Row::beside("unsolicited_costs_one_tunnel_packet", tunnel::unsolicited).takes(1),
    Row::beside("announcement_without_lease", tunnel::announcement_without_lease).takes(1),
    Row::beside("pods_on_gateways", nodes::pods_on_gateways).takes(1),
    Row::alone("s01_gateway_node_poweroff", s01_gateway_node_poweroff::poweroff),
    Row::beside("s02_gateway_node_reboot_rejoin", s01_gateway_node_poweroff::reboot_rejoin),
    Row::beside("s12_outage_plus_gateway_death", s01_gateway_node_poweroff::without_a_store),
    Row::alone("s30_drain_gateway", s30_drain::run),
    Row::beside("s06_agent_kill9_director", s06_agent_kill9::director),
    Row::beside("s06_agent_kill9_gateway", s06_agent_kill9::gateway),
    Row::beside("s07_agent_sigstop", s06_agent_kill9::frozen),
    Row::beside("s08_agent_restart_no_loss", s06_agent_kill9::rolling_restart).takes(13),
    Row::beside("upgrade_and_downgrade", upgrade::run).takes(34),
    Row::beside("s09_agent_stale_state_on_start", s06_agent_kill9::stale_on_start),
    Row::beside("one_way_cut", one_way::run).takes(17),
    Row::beside("s10_controller_kill", s10_controller::run),
    Row::beside("s15_partition_gateway", s11_apiserver_outage::partition),
    Row::beside("s11_store_outage", s11_apiserver_outage::outage).takes(66),
    Row::beside("s17_external_ip_conflict", s17_conflict::foreign_host).takes(1),
    Row::beside("s18_duplicate_ip_claims", s17_conflict::duplicates).takes(3),
    Row::beside("foreign_hands_are_repaired", repair::foreign_hands).own().takes(31),
    Row::beside("teardown_leaves_nothing", repair::teardown).takes(2),
    Row::beside("s25_claim_over_busy_pods", s25_claim::run).own().takes(24),
    Row::beside("works_when_held", nodes::works_when_held).own(),
    Row::beside("no_block_yet", nodes::no_block_yet).own(),
    Row::beside("aws_elastic_ip", aws_attach::elastic).own().takes(50),
    Row::beside("aws_private_address", aws_attach::private_address).own().takes(25),
    Row::beside("aws_holder_dies_within_subnet", aws_moves::death_within_subnet)
        .shares(PAIR)
        .takes(15),
    Row::beside("aws_holder_dies_across_zones", aws_moves::death_across_zones).own().takes(28),
    Row::beside("aws_planned_moves", aws_moves::planned).shares(TRIO).takes(25),
    Row::beside("aws_frozen_agent", aws_moves::frozen).shares(TRIO).takes(15),
    Row::beside("aws_drift", aws_attach::drift).shares(PAIR).takes(75),
    Row::beside("s20_cloud_throttle", aws_weather::throttled).shares(PAIR).takes(29),
    Row::beside("s21_cloud_fails_after_its_effect", aws_weather::fails_after)
        .shares(PAIR)
        .takes(30),
    Row::beside("s22_cloud_eventual_consistency", aws_weather::stale).shares(PAIR).takes(30),
    Row::beside("s23_cloud_api_down_during_failover", aws_weather::away).shares(PAIR).takes(20),
    Row::beside("s26_no_gateway_available", s26_no_gateway::run).own().takes(37),
    Row::beside("s05_director_node_death", s26_no_gateway::director_death).own().takes(31),
];
