//! The rows, in the order in which they run: those that share a cluster first.

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
    Row::alone("installed_chart_serves_the_example", install::serves),
    Row::alone("s41_services_are_not_steered", services::run),
    Row::alone("foreign_policy_still_drops", foreign::policy),
    Row::alone("datapath_bypassed_is_said", foreign::bypass),
    Row::alone("s24_first_packet_of_real_pods", starts::agent_up),
    Row::alone("s24_first_packet_without_an_agent", starts::agent_down),
    Row::alone("s24_first_connection_with_the_cni_plugin", chained::run),
    Row::alone("no_writes_at_rest", store::at_rest),
    Row::alone("startup_taint_goes_when_the_agent_is_ready", taint::run),
    Row::alone("s04_kubelet_stopped", kubelet::stopped),
    Row::alone("s06_agent_killed_on_a_director", agents::director_killed),
    Row::alone("s06_agent_killed_on_the_holder", agents::holder_killed),
    Row::alone("s10_controller_leader_killed", controller::run),
    Row::alone("s13_etcd_slow", store::slow),
    Row::alone("s15_partition_of_the_holder", agents::partition),
    Row::alone("s25_claim_over_busy_pods", claims::over_busy_pods),
    Row::alone("s27_s28_churn_of_pods_and_claims", churn::run),
    Row::alone("s01_gateway_node_poweroff", power::off),
    Row::alone("s12_outage_plus_gateway_death", power::without_an_api_server),
    Row::alone("s11_apiserver_outage", outage::run),
    Row::alone("s30_drain_gateway", power::drain),
    Row::alone("s08_rolling_restart_of_agents", restart::run),
    Row::alone("helm_upgrade_and_rollback", upgrade::run),
    Row::alone("gateway_with_100_addresses", hundred::run),
    Row::alone("s26_no_gateway_available", claims::no_gateway).own(),
    Row::alone("overlay_and_iptables", overlay::run).own(),
    Row::alone("aws_elastic_ip_on_a_cluster", aws::elastic).own(),
    Row::alone("uninstall_leaves_nothing", install::uninstall),
];
