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
    Row { name: "installed_chart_serves_the_example", run: install::serves },
    Row { name: "s41_services_are_not_steered", run: services::run },
    Row { name: "foreign_policy_still_drops", run: foreign::policy },
    Row { name: "datapath_bypassed_is_said", run: foreign::bypass },
    Row { name: "s24_first_packet_of_real_pods", run: starts::agent_up },
    Row { name: "s24_first_packet_without_an_agent", run: starts::agent_down },
    Row { name: "s24_first_connection_with_the_cni_plugin", run: chained::run },
    Row { name: "no_writes_at_rest", run: store::at_rest },
    Row { name: "startup_taint_goes_when_the_agent_is_ready", run: taint::run },
    Row { name: "s04_kubelet_stopped", run: kubelet::stopped },
    Row { name: "s06_agent_killed_on_a_director", run: agents::director_killed },
    Row { name: "s06_agent_killed_on_the_holder", run: agents::holder_killed },
    Row { name: "s10_controller_leader_killed", run: controller::run },
    Row { name: "s13_etcd_slow", run: store::slow },
    Row { name: "s15_partition_of_the_holder", run: agents::partition },
    Row { name: "s25_claim_over_busy_pods", run: claims::over_busy_pods },
    Row { name: "s27_s28_churn_of_pods_and_claims", run: churn::run },
    Row { name: "s01_gateway_node_poweroff", run: power::off },
    Row { name: "s12_outage_plus_gateway_death", run: power::without_an_api_server },
    Row { name: "s11_apiserver_outage", run: outage::run },
    Row { name: "s30_drain_gateway", run: power::drain },
    Row { name: "s08_rolling_restart_of_agents", run: restart::run },
    Row { name: "helm_upgrade_and_rollback", run: upgrade::run },
    Row { name: "gateway_with_100_addresses", run: hundred::run },
    Row { name: "s26_no_gateway_available", run: claims::no_gateway },
    Row { name: "overlay_and_iptables", run: overlay::run },
    Row { name: "aws_elastic_ip_on_a_cluster", run: aws::elastic },
    Row { name: "uninstall_leaves_nothing", run: install::uninstall },
];
