//! The other host network: ptp and a VXLAN between workers, iptables throughout.

use anyhow::Result;
use egret_kubernetes::{ClusterOptions, Network, Proxy, TestCluster};
use egret_lab::scenarios;

use super::{install, services};
use crate::fixtures::ClusterBench;

/// What a shared cluster shows, once more on this one.
pub fn run(bench: &mut ClusterBench) -> Result<()> {
    let options = ClusterOptions {
        network: Network::Overlay,
        proxy: Proxy::Iptables,
        ..ClusterOptions::default()
    };
    bench.own(TestCluster::with_egret(options, &[])?.with_example()?);
    install::serves(bench)?;
    services::run(bench)?;
    scenarios::power_off(bench)?;
    scenarios::drain(bench)
}
