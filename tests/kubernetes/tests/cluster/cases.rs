//! The scenarios: those that share a cluster first, and of them last the one that ends it.
//!
//! A scenario runs alone where what it asserts is a time below a second, a rate, a figure that it prints, or that nothing is
//! lost or moves while the machine is busy by what it does itself.
//! The bound of the others is 5 s, many times what they take: they run beside others.

mod aws;
mod chained;
mod churn;
mod claims;
mod controller;
mod foreign;
mod hundred;
mod install;
mod kubelet;
mod overlay;
mod restart;
mod services;
mod starts;
mod store;
mod taint;
mod upgrade;

use std::time::Duration;

use egret_kubernetes::TestCluster;
use egret_lab::bench::Scenario;
use egret_lab::scenarios;

pub const ALL: &[Scenario<TestCluster>] = &[
    Scenario::beside("installed_chart_serves_the_example", install::serves),
    Scenario::beside("s41_services_are_not_steered", services::run),
    Scenario::beside("foreign_policy_still_drops", foreign::policy),
    Scenario::beside("datapath_bypassed_is_said", foreign::bypass).takes(25),
    Scenario::beside("s24_first_packet_of_real_pods", starts::agent_up).takes(60),
    Scenario::beside("s24_first_packet_without_an_agent", starts::agent_down).takes(25),
    Scenario::alone("s24_first_connection_with_the_cni_plugin", chained::run),
    Scenario::alone("no_writes_at_rest", store::at_rest),
    Scenario::beside("startup_taint_goes_when_the_agent_is_ready", taint::run).takes(25),
    Scenario::beside("s04_kubelet_stopped", kubelet::stopped).takes(40),
    Scenario::beside("s06_agent_killed_on_a_director", scenarios::director_killed),
    Scenario::beside("s06_agent_killed_on_the_holder", scenarios::holder_killed),
    Scenario::beside("s10_controller_leader_killed", controller::run).takes(30),
    Scenario::beside("s13_etcd_slow", store::slow).takes(40),
    Scenario::alone("s15_partition_of_the_holder", scenarios::partition),
    Scenario::beside("s25_claim_over_busy_pods", claims::over_busy_pods),
    Scenario::alone("s27_s28_churn_of_pods_and_claims", churn::run),
    Scenario::alone("s01_gateway_node_poweroff", scenarios::power_off),
    Scenario::beside("s12_outage_plus_gateway_death", scenarios::power_off_without_store).takes(35),
    Scenario::beside("s11_apiserver_outage", |bench| scenarios::outage(bench, outage())).takes(75),
    Scenario::alone("s30_drain_gateway", scenarios::drain),
    Scenario::alone("s08_rolling_restart_of_agents", restart::run),
    Scenario::alone("helm_upgrade_and_rollback", upgrade::run).takes(95),
    Scenario::beside("s26_no_gateway_available", claims::without_gateways).takes(50),
    Scenario::alone("gateway_with_100_addresses", hundred::run).takes(70),
    Scenario::beside("uninstall_leaves_nothing", install::uninstall).takes(45),
    Scenario::beside("overlay_and_iptables", overlay::run).own().takes(110),
    Scenario::beside("aws_elastic_ip_on_a_cluster", aws::elastic).own().takes(270),
];

/// S11: a minute, in the soak ten.
fn outage() -> Duration {
    Duration::from_secs(if crate::fixtures::soak() { 600 } else { 60 })
}
