//! A cluster to look around in.

use std::time::Duration;

use anyhow::Result;
use egret_kubernetes::{ClusterOptions, TestCluster, egret_image};
use egret_lab::{TestBed, say};

/// Brings it up, says how to get in, and waits for Ctrl-C.
pub(crate) fn run(mut options: ClusterOptions, bare: bool) -> Result<()> {
    egret_kubernetes::cleanup()?;
    if !bare {
        options.images.push(egret_image()?);
    }
    let cluster = say::step("control plane and workers: Ready", || TestCluster::up(&options))?;
    if bare {
        return keep(&cluster);
    }
    say::step("the chart is installed", || cluster.install_egret(&[]))?;
    let fixture = say::step("the examples are served", || cluster.with_example())?;
    keep(&fixture.lab)
}

fn keep(cluster: &TestCluster) -> Result<()> {
    let (kubectl, config) = (egret_kubernetes::binary("kubectl")?, cluster.kubectl().kubeconfig());
    let control = cluster.control_net().path();
    say::head("Look around:");
    say::line(&format!("export KUBECONFIG={}", config.display()));
    say::line(&format!("nsenter --net={control} {} get nodes", kubectl.display()));
    for worker in cluster.workers() {
        let net = worker.net()?.path();
        say::line(&format!("{:<12} nsenter --net={net}", worker.name));
    }
    say::line(&format!("{:<12} nsenter --net={}", "outside", cluster.network().out.path()));
    say::line(&format!("{:<12} {}", "logs", cluster.dir().display()));
    say::line("Ctrl-C removes it");
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
