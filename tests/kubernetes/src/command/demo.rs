//! The whole story on a real cluster: install, claim, power-off, drain, power-off without an API
//! server.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_kubernetes::{Cluster, ClusterOptions, egret_image};
use egret_lab::load::Plan;
use egret_lab::story::{self, Shown};
use egret_lab::{Stage, say};

/// Tells the story; fails where it does not end as it should.
pub(crate) fn run(connections: u16) -> Result<()> {
    egret_kubernetes::cleanup()?;
    let mut shown = Shown { scenes: Vec::new(), good: true };
    let every = Duration::from_millis(100);
    let plan = Plan::new("bank", &["settle-1", "settle-2"]).connections(connections).every(every);
    story::play(boot()?, plan, &mut shown)?;
    ensure!(shown.good, "something above is marked ✗");
    Ok(())
}

/// The cluster, the sources without a claim, Egret, the claim, and the wait that it costs.
fn boot() -> Result<Stage<Cluster>> {
    say::head("Kubernetes: three gateways, two directors, four pods, a router, the outside");
    let options = ClusterOptions { images: vec![egret_image()?], ..ClusterOptions::default() };
    let mut cluster = say::step("control plane, five workers: Ready", || Cluster::up(&options))?;
    command("kubectl get nodes");
    print(&cluster.kubectl().ask(&["get", "nodes"])?);
    say::head("Without Egret");
    let pods = ["settle-1", "settle-2", "other-1"];
    say::step("pods are Ready", || cluster.add_example_pods())?;
    story::sources(&mut cluster, &pods)?;
    say::head("With the claim payments/bank: pods with app=settle, to 198.51.100.0/24");
    command("helm install egret deploy/helm/egret -n egret-system --create-namespace --wait");
    say::step("controller and agents are ready", || cluster.install_egret(&[]))?;
    command("kubectl apply -f deploy/examples");
    let mut stage =
        say::step("two addresses are bound, held and probed", || cluster.with_example())?;
    command("kubectl get egressaddresses");
    print(&stage.lab.kubectl().ask(&["get", "egressaddresses"])?);
    story::status(&stage.lab)?;
    story::sources(&mut stage.lab, &pods)?;
    Ok(stage)
}

fn command(line: &str) {
    say::line(&format!("$ {line}"));
}

fn print(text: &str) {
    for line in text.lines() {
        say::line(&format!("  {line}"));
    }
}
