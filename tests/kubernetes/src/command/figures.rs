//! The figures on a real cluster: load on the API server, memory, failovers.

use std::time::Duration;

use anyhow::Result;
use egret_kubernetes::{ClusterOptions, NAMESPACE, TestCluster};
use egret_lab::figures::{Counts, failovers};
use egret_lab::{LabFixture, WallTime, say};

/// Measures and prints.
pub(crate) fn run(counts: Counts) -> Result<()> {
    egret_kubernetes::cleanup()?;
    say::head("Kubernetes with five workers, the chart and the example claim (T_max 1 s)");
    // After each boot a voter is silent for as long as the longest lease.
    let mut fixture = say::step("up, installed, held", || {
        TestCluster::with_egret(ClusterOptions::default(), &["cluster.maxLease=1s"])?.with_example()
    })?;
    say::head("At rest");
    writes(&fixture, Duration::from_secs(30))?;
    memory(&fixture)?;
    if let Err(error) = failovers(&mut fixture, counts) {
        egret_lab::bench::explain(&fixture.lab);
        return Err(error);
    }
    say::head("Afterwards");
    memory(&fixture)
}

/// What is written while nothing happens, a second.
fn writes(fixture: &LabFixture<TestCluster>, time: Duration) -> Result<()> {
    let (before, begun) = (fixture.lab.writes()?, WallTime::now());
    say::step(&format!("{} s without traffic", time.as_secs()), || {
        std::thread::sleep(time);
        Ok(())
    })?;
    let (after, seconds) = (fixture.lab.writes()?, WallTime::now().since(begun).as_secs_f64());
    let mut total = 0;
    for (what, count) in &after {
        let more = count - before.get(what).copied().unwrap_or_default();
        total += if what.contains("egret.dev") { more } else { 0 };
        if more > 0 {
            say::line(&format!("{:.2} {what} a second", f64::from(more) / seconds));
        }
    }
    say::line(&format!("{total} writes of Egret's objects in {seconds:.0} s"));
    Ok(())
}

/// Resident memory of every agent and controller.
fn memory(fixture: &LabFixture<TestCluster>) -> Result<()> {
    let label = "app.kubernetes.io/name=egret";
    let pods = fixture.lab.kubectl().get(&["pods", "-n", NAMESPACE, "-l", label])?;
    for pod in pods["items"].as_array().into_iter().flatten() {
        let text = |path: &str| pod.pointer(path).and_then(|v| v.as_str()).unwrap_or_default();
        let (name, node) = (text("/metadata/name"), text("/spec/nodeName"));
        let container = text("/spec/containers/0/name");
        let (all, own) = fixture.lab.resident_kib(NAMESPACE, name, container)?;
        say::line(&format!(
            "memory of the {container:<10} on {node:<11} {} MiB, of which {} allocated",
            all / 1024,
            own / 1024
        ));
    }
    Ok(())
}
