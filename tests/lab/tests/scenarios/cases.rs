//! The scenarios: the laboratory itself, then those that share one and leave it as they found it, then
//! those with one of their own.
//!
//! A scenario runs alone where what it asserts depends on how fast this machine is. The bound of most scenarios
//! is 5 s, many times what they take; they run beside others.

mod agents;
mod aws_attach;
mod aws_claim_anew;
mod aws_faults;
mod aws_interfaces;
mod aws_leaving;
mod aws_moves;
mod aws_second_address;
mod aws_slow;
mod aws_vpc;
mod beside_others;
mod cordoned;
mod dropped_by_others;
mod gcp_attach;
mod gcp_fabric;
mod gcp_moves;
mod gcp_vpc;
mod gcp_vpc_fixed;
mod guard_unit;
mod laboratory;
mod late_agent;
mod leftovers;
mod local_addresses;
mod nodes;
mod one_way;
mod own_address;
mod private_network;
mod repair;
mod s02_reboot_rejoin;
mod s10_controller;
mod s17_conflict;
mod s18_on_interface;
mod s24_first_packet;
mod s25_claim;
mod s26_no_gateway;
mod s29_address_reuse;
mod s29_without_plugin;
mod s41_inbound;
mod s51_negative_control;
mod slow_tool;
mod tunnel;
mod unreached;
mod upgrade;
mod uplink_lost;

use std::time::Duration;

use egret_lab::bench::Scenario;
use egret_lab::scenarios;

use crate::fabric::{ALIASES, TARGETS};
use crate::google::VPC;
use crate::region::{PAIR, TRIO};

/// S11, shortened.
const MINUTE: Duration = Duration::from_secs(60);

pub const ALL: &[Scenario] = &[
    Scenario::beside("laboratory_reaches_everything", laboratory::reaches_everything)
        .own()
        .takes(2),
    Scenario::beside("laboratory_oracles_can_fail", laboratory::oracles_can_fail).own().takes(2),
    Scenario::beside("laboratory_faults_do_what_they_say", laboratory::faults).own().takes(6),
    Scenario::beside("aws_vpc_behaves_as_ec2", aws_vpc::as_ec2).own().takes(20),
    Scenario::beside("gcp_vpc_behaves_as_google", gcp_vpc::as_google).own().takes(30),
    Scenario::beside("s51_negative_control", s51_negative_control::run).own(),
    Scenario::beside("s41_inbound_and_intracluster_not_snated", s41_inbound::run).takes(1),
    Scenario::beside("external_endpoint_after_dnat", s41_inbound::external_endpoint).takes(1),
    Scenario::beside("nothing_listens_on_the_egress_address", s41_inbound::nothing_listens),
    Scenario::beside("s24_first_packet_of_a_new_pod", s24_first_packet::new_pods).takes(37),
    Scenario::beside("s29_ip_reuse_after_pod_delete", s29_address_reuse::run).takes(20),
    Scenario::beside("two_pods_with_one_address", s29_address_reuse::one_address_of_two_pods)
        .takes(4),
    Scenario::beside("s29_ip_reuse_without_plugin", s29_without_plugin::run).takes(30),
    Scenario::beside("one_way_stream_of_a_relabelled_pod", s29_address_reuse::relabelled).takes(3),
    Scenario::beside("strange_packets_do_not_leak", s24_first_packet::strange_packets).takes(1),
    Scenario::beside("forged_tunnel_frames", tunnel::forged_frames).takes(1),
    Scenario::beside("unsolicited_costs_one_tunnel_packet", tunnel::unsolicited).takes(1),
    Scenario::beside("announcement_without_lease", tunnel::announcement_without_lease).takes(1),
    Scenario::beside("pods_on_gateways", nodes::pods_on_gateways).takes(1),
    Scenario::alone("s01_gateway_node_poweroff", scenarios::power_off),
    Scenario::alone("s01_where_all_gateways_are_cordoned", cordoned::all),
    Scenario::beside("s02_gateway_node_reboot_rejoin", s02_reboot_rejoin::run),
    Scenario::beside("s12_outage_plus_gateway_death", scenarios::power_off_without_store),
    Scenario::alone("s30_drain_gateway", scenarios::drain),
    Scenario::beside("planned_move_beside_a_slow_tool", slow_tool::run).own().takes(30),
    Scenario::beside("s06_agent_kill9_director", scenarios::director_killed),
    Scenario::beside("s06_agent_kill9_gateway", scenarios::holder_killed),
    Scenario::beside("s07_agent_sigstop", agents::frozen),
    Scenario::beside("s08_agent_restart_no_loss", agents::rolling_restart).takes(13),
    Scenario::beside("upgrade_and_downgrade", upgrade::run).takes(34),
    Scenario::alone("mixed_versions", upgrade::mixed).own().takes(60),
    Scenario::beside("second_agent_is_refused", agents::second).takes(3),
    Scenario::beside("s09_agent_stale_state_on_start", agents::stale_on_start),
    Scenario::beside("one_way_cut", one_way::run).takes(17),
    Scenario::beside("own_address_changes", own_address::changes).own().takes(25),
    Scenario::beside("ipv4_goes_and_comes", own_address::ipv4_goes_and_comes).own().takes(45),
    Scenario::beside("tunnel_on_a_private_network", private_network::run).own().takes(15),
    Scenario::beside("tunnel_moves_when_told", private_network::moves_when_told).own().takes(40),
    Scenario::beside("internal_ip_comes_later", private_network::ipv4_comes_later).own().takes(15),
    Scenario::beside("uplink_lost", uplink_lost::run).own().takes(50),
    Scenario::beside("router_silent", uplink_lost::router_silent).own().takes(50),
    Scenario::beside("s10_controller_kill", s10_controller::run),
    Scenario::beside("s15_partition_gateway", scenarios::partition),
    Scenario::beside("s11_store_outage", |bench| scenarios::outage(bench, MINUTE)).takes(66),
    Scenario::beside("s17_external_ip_conflict", s17_conflict::foreign_host).takes(9),
    Scenario::beside("s17_taken_while_no_agent_ran", s17_conflict::taken_meanwhile).own().takes(35),
    Scenario::beside("s17_probes_are_no_conflict", s17_conflict::probes).takes(5),
    Scenario::beside("s18_duplicate_ip_claims", s17_conflict::duplicates).takes(3),
    Scenario::beside("s18_on_an_interface_before_it_is_held", s18_on_interface::never_held)
        .takes(20),
    Scenario::beside("s18_on_an_interface_over_a_restart", s18_on_interface::restarted)
        .own()
        .takes(20),
    Scenario::beside("s18_on_an_interface_over_a_gap", s18_on_interface::gap).own().takes(60),
    Scenario::beside("s18_on_an_interface_while_it_is_held", s18_on_interface::held).takes(5),
    Scenario::beside("s18_unclaimed_address_of_a_gateway", s18_on_interface::unclaimed).takes(5),
    Scenario::beside("leftovers_before_the_agent_starts", leftovers::run).own().takes(40),
    Scenario::beside("late_agent_after_a_boot", late_agent::run).own().takes(30),
    Scenario::beside("unit_loads_the_guard_before_pods", guard_unit::run).takes(5),
    Scenario::beside("foreign_hands_are_repaired", repair::foreign_hands).own().takes(31),
    Scenario::beside("rules_of_others_that_hold", beside_others::hold).own().takes(20),
    Scenario::beside("rules_of_others_that_drop_are_said", dropped_by_others::run).takes(125),
    Scenario::beside("a_closed_tunnel_is_said", dropped_by_others::in_the_tunnel).takes(60),
    Scenario::beside("s01_where_directors_do_not_reach_the_holder", unreached::run).own().takes(90),
    Scenario::beside("ipv6_switched_off_is_said", dropped_by_others::ipv6_switched_off).takes(20),
    Scenario::beside("teardown_leaves_nothing", repair::teardown).takes(2),
    Scenario::beside("s25_claim_over_busy_pods", s25_claim::run).own().takes(24),
    Scenario::beside("s25_claim_made_anew", s25_claim::made_anew).own().takes(28),
    Scenario::beside("works_when_held", nodes::works_when_held).own(),
    Scenario::beside("no_block_yet", nodes::no_block_yet).own(),
    Scenario::beside("aws_elastic_ip", aws_attach::elastic).own().takes(50),
    Scenario::beside("aws_private_address", aws_attach::private_address).own().takes(25),
    Scenario::beside("aws_claim_made_anew", aws_claim_anew::run).own().takes(50),
    Scenario::beside("aws_holder_dies_within_subnet", aws_moves::death_within_subnet)
        .shares(PAIR)
        .takes(15),
    Scenario::beside("aws_holder_dies_across_zones", aws_moves::death_across_zones).own().takes(28),
    Scenario::beside("aws_planned_moves", aws_moves::planned).shares(TRIO).takes(25),
    Scenario::beside("aws_node_leaves", aws_leaving::run).shares(TRIO).takes(30),
    Scenario::beside("aws_frozen_agent", aws_moves::frozen).shares(TRIO).takes(15),
    Scenario::beside("aws_slow_within_subnet", aws_slow::within_subnet).own().takes(25),
    Scenario::beside("aws_slow_across_zones", aws_slow::across_zones).own().takes(25),
    Scenario::beside("aws_drift", aws_attach::drift).shares(PAIR).takes(75),
    Scenario::beside("aws_second_interfaces", aws_interfaces::second).own().takes(60),
    Scenario::beside("s20_cloud_throttle", aws_faults::throttled).shares(PAIR).takes(29),
    Scenario::beside("s21_cloud_fails_after_its_effect", aws_faults::fails_after)
        .shares(PAIR)
        .takes(30),
    Scenario::beside("s22_cloud_eventual_consistency", aws_faults::stale).shares(PAIR).takes(30),
    Scenario::beside("s23_cloud_api_down_during_failover", aws_faults::away).shares(PAIR).takes(20),
    Scenario::beside(
        "aws_second_address_without_ec2_and_api_server",
        aws_second_address::without_ec2_and_api_server,
    )
    .own()
    .takes(25),
    Scenario::beside("gcp_attach", gcp_attach::attach).own().takes(60),
    Scenario::beside("gcp_holder_dies", gcp_moves::death).shares(VPC).takes(30),
    Scenario::beside("gcp_holder_dies_after_its_announcement", gcp_moves::contested_death)
        .shares(VPC)
        .takes(60),
    Scenario::beside("gcp_planned_moves", gcp_moves::planned).shares(VPC).takes(60),
    Scenario::beside("gcp_move_to_a_new_gateway", gcp_moves::to_new_gateway).shares(VPC).takes(15),
    Scenario::beside("gcp_frozen_agent", gcp_moves::frozen).shares(VPC).takes(20),
    Scenario::beside("gcp_live_migration", gcp_moves::migrated).shares(VPC).takes(20),
    Scenario::beside("gcp_api_down_during_failover", gcp_moves::without_api).shares(VPC).takes(50),
    Scenario::beside("aws_local_addresses", local_addresses::on_aws).shares(PAIR).takes(20),
    Scenario::beside("gcp_local_addresses", local_addresses::on_google).shares(VPC).takes(25),
    Scenario::beside("gcp_target_attach", gcp_fabric::target_attach).shares(TARGETS).takes(5),
    Scenario::beside("gcp_target_holder_dies", gcp_fabric::target_holder_dies)
        .shares(TARGETS)
        .takes(8),
    Scenario::beside("gcp_target_drain", gcp_fabric::target_drain).shares(TARGETS).takes(8),
    Scenario::beside("gcp_target_api_down_during_failover", gcp_fabric::target_without_api)
        .shares(TARGETS)
        .takes(25),
    Scenario::beside("gcp_alias_attach", gcp_fabric::alias_attach).shares(ALIASES).takes(5),
    Scenario::beside("gcp_alias_holder_dies", gcp_fabric::alias_holder_dies)
        .shares(ALIASES)
        .takes(8),
    Scenario::beside("gcp_alias_drain", gcp_fabric::alias_drain).shares(ALIASES).takes(8),
    Scenario::beside("gcp_alias_api_down_during_failover", gcp_fabric::alias_without_api)
        .shares(ALIASES)
        .takes(25),
    Scenario::beside("gcp_firewall", gcp_attach::firewall).own().takes(40),
    Scenario::beside("s26_no_gateway_available", s26_no_gateway::run).own().takes(53),
    Scenario::beside("s05_director_node_death", s26_no_gateway::director_death).own().takes(31),
];
