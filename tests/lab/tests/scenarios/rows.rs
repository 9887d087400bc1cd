//! The rows, in the order in which they run: the laboratory itself, then those that share one and
//! leave it as they found it, then those with one of their own.

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

pub const ALL: &[Row] = &[
    Row { name: "laboratory_reaches_everything", run: laboratory::reaches_everything },
    Row { name: "laboratory_oracles_can_fail", run: laboratory::oracles_can_fail },
    Row { name: "laboratory_faults_do_what_they_say", run: laboratory::faults },
    Row { name: "aws_vpc_behaves_as_ec2", run: aws_vpc::as_ec2 },
    Row { name: "s51_negative_control", run: s51_negative_control::run },
    Row { name: "s41_inbound_and_intracluster_not_snated", run: s41_inbound::run },
    Row { name: "external_endpoint_after_dnat", run: s41_inbound::external_endpoint },
    Row { name: "nothing_listens_on_the_egress_address", run: s41_inbound::nothing_listens },
    Row { name: "s24_first_packet_of_a_new_pod", run: s24_first_packet::new_pods },
    Row { name: "strange_packets_do_not_leak", run: s24_first_packet::strange_packets },
    Row { name: "forged_tunnel_frames", run: tunnel::forged_frames },
    Row { name: "unsolicited_costs_one_tunnel_packet", run: tunnel::unsolicited },
    Row { name: "announcement_without_lease", run: tunnel::announcement_without_lease },
    Row { name: "pods_on_gateways", run: nodes::pods_on_gateways },
    Row { name: "s01_gateway_node_poweroff", run: s01_gateway_node_poweroff::poweroff },
    Row { name: "s02_gateway_node_reboot_rejoin", run: s01_gateway_node_poweroff::reboot_rejoin },
    Row { name: "s12_outage_plus_gateway_death", run: s01_gateway_node_poweroff::without_a_store },
    Row { name: "s30_drain_gateway", run: s30_drain::run },
    Row { name: "s06_agent_kill9_director", run: s06_agent_kill9::director },
    Row { name: "s06_agent_kill9_gateway", run: s06_agent_kill9::gateway },
    Row { name: "s07_agent_sigstop", run: s06_agent_kill9::frozen },
    Row { name: "s08_agent_restart_no_loss", run: s06_agent_kill9::rolling_restart },
    Row { name: "upgrade_and_downgrade", run: upgrade::run },
    Row { name: "s09_agent_stale_state_on_start", run: s06_agent_kill9::stale_on_start },
    Row { name: "one_way_cut", run: one_way::run },
    Row { name: "s10_controller_kill", run: s10_controller::run },
    Row { name: "s15_partition_gateway", run: s11_apiserver_outage::partition },
    Row { name: "s11_store_outage", run: s11_apiserver_outage::outage },
    Row { name: "s17_external_ip_conflict", run: s17_conflict::foreign_host },
    Row { name: "s18_duplicate_ip_claims", run: s17_conflict::duplicates },
    Row { name: "foreign_hands_are_repaired", run: repair::foreign_hands },
    Row { name: "teardown_leaves_nothing", run: repair::teardown },
    Row { name: "s25_claim_over_busy_pods", run: s25_claim::run },
    Row { name: "works_when_held", run: nodes::works_when_held },
    Row { name: "no_block_yet", run: nodes::no_block_yet },
    Row { name: "aws_elastic_ip", run: aws_attach::elastic },
    Row { name: "aws_private_address", run: aws_attach::private_address },
    Row { name: "aws_holder_dies_within_subnet", run: aws_moves::death_within_subnet },
    Row { name: "aws_holder_dies_across_zones", run: aws_moves::death_across_zones },
    Row { name: "aws_planned_moves", run: aws_moves::planned },
    Row { name: "aws_frozen_agent", run: aws_moves::frozen },
    Row { name: "aws_drift", run: aws_attach::drift },
    Row { name: "s20_cloud_throttle", run: aws_weather::throttled },
    Row { name: "s21_cloud_fails_after_its_effect", run: aws_weather::fails_after },
    Row { name: "s22_cloud_eventual_consistency", run: aws_weather::stale },
    Row { name: "s23_cloud_api_down_during_failover", run: aws_weather::away },
    Row { name: "s26_no_gateway_available", run: s26_no_gateway::run },
    Row { name: "s05_director_node_death", run: s26_no_gateway::director_death },
];
