//! The rows: those that share a cluster first, and of them last the one that ends it.
//!
//! A row runs alone where what it asserts is a time below a second, a rate, or a figure that it prints.
//! The bound of the others is 5 s, many times what they take: they run beside others.

mod agents;
mod aws;
mod chained;
mod churn;
mod claims;
mod controller;
mod foreign;
mod hundred;
mod install;
mod kubelet;
mod outage;
mod overlay;
mod power;
mod restart;
mod services;
mod starts;
mod store;
mod taint;
mod upgrade;

use egret_kubernetes::Cluster;
use egret_lab::bench::Row;

pub const ALL: &[Row<Cluster>] = &[
    Row::beside("installed_chart_serves_the_example", install::serves),
    Row::beside("s41_services_are_not_steered", services::run),
    Row::beside("foreign_policy_still_drops", foreign::policy),
    Row::beside("datapath_bypassed_is_said", foreign::bypass).takes(25),
    Row::beside("s24_first_packet_of_real_pods", starts::agent_up).takes(60),
    Row::beside("s24_first_packet_without_an_agent", starts::agent_down).takes(25),
    Row::alone("s24_first_connection_with_the_cni_plugin", chained::run),
    Row::alone("no_writes_at_rest", store::at_rest),
    Row::beside("startup_taint_goes_when_the_agent_is_ready", taint::run).takes(25),
    Row::beside("s04_kubelet_stopped", kubelet::stopped).takes(40),
    Row::beside("s06_agent_killed_on_a_director", agents::director_killed),
    Row::beside("s06_agent_killed_on_the_holder", agents::holder_killed),
    Row::beside("s10_controller_leader_killed", controller::run).takes(30),
    Row::beside("s13_etcd_slow", store::slow).takes(40),
    Row::beside("s15_partition_of_the_holder", agents::partition),
    Row::beside("s25_claim_over_busy_pods", claims::over_busy_pods),
    Row::alone("s27_s28_churn_of_pods_and_claims", churn::run),
    Row::alone("s01_gateway_node_poweroff", power::off),
    Row::beside("s12_outage_plus_gateway_death", power::without_an_api_server).takes(35),
    Row::beside("s11_apiserver_outage", outage::run).takes(75),
    Row::alone("s30_drain_gateway", power::drain),
    Row::alone("s08_rolling_restart_of_agents", restart::run),
    Row::beside("helm_upgrade_and_rollback", upgrade::run).takes(95),
    Row::beside("s26_no_gateway_available", claims::no_gateway).takes(50),
    Row::alone("gateway_with_100_addresses", hundred::run).takes(70),
    Row::beside("uninstall_leaves_nothing", install::uninstall).takes(1),
    Row::beside("overlay_and_iptables", overlay::run).own().takes(110),
    Row::beside("aws_elastic_ip_on_a_cluster", aws::elastic).own().takes(270),
];
