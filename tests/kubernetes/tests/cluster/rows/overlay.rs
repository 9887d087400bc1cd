//! The other host network: ptp and a VXLAN between workers, iptables throughout.

use anyhow::Result;
use egret_kubernetes::{Cluster, ClusterOptions, Network, Proxy};

use super::{install, power, services};
use crate::world::Bench;

/// What a shared cluster shows, once more on this one.
pub fn run(bench: &mut Bench) -> Result<()> {
    let options = ClusterOptions {
        network: Network::Overlay,
        proxy: Proxy::Iptables,
        ..ClusterOptions::default()
    };
    bench.own(Cluster::with_egret(options, &[])?.with_example()?);
    install::serves(bench)?;
    services::run(bench)?;
    power::off(bench)?;
    power::drain(bench)
}
