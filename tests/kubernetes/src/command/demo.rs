//! The demonstration on a real cluster: install, claim, power-off, drain, power-off without an API
//! server.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_kubernetes::{ClusterOptions, TestCluster, egret_image};
use egret_lab::demonstration::{self, DemoResult};
use egret_lab::load::LoadPlan;
use egret_lab::{LabFixture, say};

/// Shows it; fails where it does not end as it should.
pub(crate) fn run(connections: u16) -> Result<()> {
    egret_kubernetes::cleanup()?;
    let mut result = DemoResult { windows: Vec::new(), good: true };
    let every = Duration::from_millis(100);
    let plan =
        LoadPlan::new("bank", &["settle-1", "settle-2"]).connections(connections).every(every);
    demonstration::run(boot()?, plan, &mut result)?;
    ensure!(result.good, "something above is marked ✗");
    Ok(())
}

/// The cluster, the sources without a claim, Egret, the claim, and the wait that it costs.
fn boot() -> Result<LabFixture<TestCluster>> {
    say::head("Kubernetes: three gateways, two directors, four pods, a router, the outside");
    let options = ClusterOptions { images: vec![egret_image()?], ..ClusterOptions::default() };
    let mut cluster =
        say::step("control plane, five workers: Ready", || TestCluster::up(&options))?;
    command("kubectl get nodes");
    print(&cluster.kubectl().ask(&["get", "nodes"])?);
    say::head("Without Egret");
    let pods = ["settle-1", "settle-2", "other-1"];
    say::step("pods are Ready", || cluster.add_example_pods())?;
    demonstration::sources(&mut cluster, &pods)?;
    say::head("With the claim payments/bank: pods with app=settle, to 198.51.100.0/24");
    command("helm install egret deploy/helm/egret -n egret-system --create-namespace --wait");
    say::step("controller and agents are ready", || cluster.install_egret(&[]))?;
    command("kubectl apply -f deploy/examples");
    let mut fixture =
        say::step("two addresses are bound, held and probed", || cluster.with_example())?;
    command("kubectl get egressaddresses");
    print(&fixture.lab.kubectl().ask(&["get", "egressaddresses"])?);
    demonstration::status(&fixture.lab)?;
    demonstration::sources(&mut fixture.lab, &pods)?;
    Ok(fixture)
}

fn command(line: &str) {
    say::line(&format!("$ {line}"));
}

fn print(text: &str) {
    for line in text.lines() {
        say::line(&format!("  {line}"));
    }
}
