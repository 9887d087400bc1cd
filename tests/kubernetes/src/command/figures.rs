//! The figures on a real cluster: load on the API server, memory, failovers.

use std::time::Duration;

use anyhow::Result;
use egret_kubernetes::{Cluster, ClusterOptions, NAMESPACE};
use egret_lab::figures::{Counts, failovers};
use egret_lab::{Stage, Stamp, say};

/// Measures and prints.
pub(crate) fn run(counts: Counts) -> Result<()> {
    egret_kubernetes::cleanup()?;
    say::head("Kubernetes with five workers, the chart and the example claim (T_max 1 s)");
    // After each boot a voter is silent for as long as the longest lease.
    let mut stage = say::step("up, installed, held", || {
        Cluster::with_egret(ClusterOptions::default(), &["cluster.maxLease=1s"])?.with_example()
    })?;
    say::head("At rest");
    writes(&stage, Duration::from_secs(30))?;
    memory(&stage)?;
    if let Err(error) = failovers(&mut stage, counts) {
        egret_lab::bench::explain(&stage.lab);
        return Err(error);
    }
    say::head("Afterwards");
    memory(&stage)
}

/// What is written while nothing happens, a second.
fn writes(stage: &Stage<Cluster>, time: Duration) -> Result<()> {
    let (before, begun) = (stage.lab.writes()?, Stamp::now());
    say::step(&format!("{} s without traffic", time.as_secs()), || {
        std::thread::sleep(time);
        Ok(())
    })?;
    let (after, seconds) = (stage.lab.writes()?, Stamp::now().since(begun).as_secs_f64());
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
fn memory(stage: &Stage<Cluster>) -> Result<()> {
    let label = "app.kubernetes.io/name=egret";
    let pods = stage.lab.kubectl().get(&["pods", "-n", NAMESPACE, "-l", label])?;
    for pod in pods["items"].as_array().into_iter().flatten() {
        let text = |path: &str| pod.pointer(path).and_then(|v| v.as_str()).unwrap_or_default();
        let (name, node) = (text("/metadata/name"), text("/spec/nodeName"));
        let container = text("/spec/containers/0/name");
        let (all, own) = stage.lab.resident_kib(NAMESPACE, name, container)?;
        say::line(&format!(
            "memory of the {container:<10} on {node:<11} {} MiB, of which {} allocated",
            all / 1024,
            own / 1024
        ));
    }
    Ok(())
}
