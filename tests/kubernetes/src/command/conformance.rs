//! Kubernetes' own end-to-end suite beside Egret: its specs of the network on a cluster where one claim selects every pod
//! of every namespace. Traffic inside the cluster must not notice.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use egret_kubernetes::{ClusterOptions, TestCluster, conformance, repository};
use egret_lab::address::{AddressFamily, pod_cidrs};
use egret_lab::load::source_seen;
use egret_lab::{PodOptions, demonstration, say, wait_until};

mod comparison;
mod report;
mod specs;
mod suite;

use comparison::SpecComparison;
use report::SpecOutcome;
use specs::ChosenSpecs;
use suite::Suite;

/// A selected pod of no spec.
const WITNESS: &str = "witness";

/// Runs the specs, `jobs` at once; fails where one fails with Egret alone.
pub(crate) fn run(only: &[String], jobs: u8) -> Result<()> {
    egret_kubernetes::cleanup()?;
    let suite = Suite::new()?;
    let selection = ChosenSpecs::of(&suite.names()?, only)?;
    say::head("Kubernetes' own specs of the network, with every pod selected");
    let (first, alone) = with_egret(&suite, &selection.chosen, jobs)?;
    let failed = failures(&alone);
    let bare = if failed.is_empty() { BTreeMap::new() } else { without_egret(&suite, &failed)? };
    let compared: BTreeMap<_, _> = first
        .iter()
        .map(|(name, outcome)| (name, SpecComparison::of(outcome, alone.get(name), bare.get(name))))
        .collect();
    ensure!(compared.len() == selection.chosen.len(), "a spec has no outcome");
    tell(&compared, &selection)
}

type SpecOutcomes = BTreeMap<String, SpecOutcome>;

/// What every spec gave beside others, and what those that failed gave alone.
fn with_egret(suite: &Suite, names: &[String], jobs: u8) -> Result<(SpecOutcomes, SpecOutcomes)> {
    let mut cluster = say::step("control plane, workers, Egret: ready", || {
        let cluster = TestCluster::with_egret(options()?, &[])?;
        prepare(&cluster)?;
        Ok(cluster)
    })?;
    let addresses = say::step("every pod is selected", || claimed(&mut cluster))?;
    let first = suite.run(&cluster, "with Egret", names, jobs)?;
    let alone = suite.run(&cluster, "again alone", &failures(&first), 1)?;
    if !failures(&alone).is_empty()
        && let Some(kept) = cluster.keep()
    {
        say::line(&format!("logs of the cluster: {}", kept.display()));
    }
    say::step("every pod is selected still", || steered(&mut cluster, &addresses))?;
    Ok((first, alone))
}

/// What specs give alone on such a cluster without Egret: there, too, only what fails twice has failed.
fn without_egret(suite: &Suite, names: &[String]) -> Result<SpecOutcomes> {
    let cluster = say::step("the same without Egret: ready", || {
        let cluster = TestCluster::up(&options()?)?;
        prepare(&cluster)?;
        Ok(cluster)
    })?;
    let mut outcomes = suite.run(&cluster, "without Egret", names, 1)?;
    outcomes.extend(suite.run(&cluster, "without Egret again", &failures(&outcomes), 1)?);
    Ok(outcomes)
}

/// Two workers for each of three zones.
fn options() -> Result<ClusterOptions> {
    let images = vec![conformance("images.tar")?];
    Ok(ClusterOptions { gateways: 3, directors: 3, images, dns: true, ..ClusterOptions::default() })
}

/// Some specs ask pods through the API server, some want three zones, most ask for names.
fn prepare(cluster: &TestCluster) -> Result<()> {
    for worker in cluster.workers() {
        for (pods, via) in pod_cidrs(worker.number).iter().zip(worker.addresses()) {
            cluster.control_net().batch(&format!("route add {pods} via {via}\n"));
        }
        let zone = format!("topology.kubernetes.io/zone=zone-{}", worker.number % 3);
        cluster.kubectl().ask(&["label", "node", &worker.name, &zone])?;
    }
    cluster.kubectl().apply_path(&repository().join("tests/kubernetes/conformance/dns.yaml"))?;
    let rollout = ["rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=2m"];
    cluster.kubectl().ask(&rollout).map(drop)
}

/// Claims for everybody; returns the addresses, once a pod leaves with them.
fn claimed(cluster: &mut TestCluster) -> Result<Vec<IpAddr>> {
    let claim = repository().join("tests/kubernetes/conformance/everybody.yaml");
    cluster.kubectl().apply_path(&claim)?;
    let addresses = demonstration::held(cluster)?;
    cluster.kubectl().ask(&["create", "namespace", WITNESS])?;
    cluster.add_pods(&[PodOptions::new("director-1", WITNESS, WITNESS)])?;
    steered(cluster, &addresses)?;
    Ok(addresses)
}

/// Waits until the witness leaves with the claim's addresses.
fn steered(cluster: &mut TestCluster, addresses: &[IpAddr]) -> Result<()> {
    for family in AddressFamily::BOTH {
        wait_until("a pod leaves with the claim's address", Duration::from_secs(60), || {
            source_seen(cluster, WITNESS, family).ok().filter(|seen| addresses.contains(seen))
        })?;
    }
    Ok(())
}

fn failures(outcomes: &SpecOutcomes) -> Vec<String> {
    let failed = outcomes.iter().filter(|(_, outcome)| matches!(outcome, SpecOutcome::Failed(_)));
    failed.map(|(name, _)| name.clone()).collect()
}

/// Names everything that did not pass at once, and counts the rest.
fn tell(compared: &BTreeMap<&String, SpecComparison>, selection: &ChosenSpecs) -> Result<()> {
    let mut counts = [0; 5];
    let kinds = [
        "passed",
        "failed beside others and passed alone",
        "fail with Egret only",
        "fail without Egret, too",
        "did not run",
    ];
    for (name, comparison) in compared {
        let (kind, said) = match comparison {
            SpecComparison::Passed => (0, ""),
            SpecComparison::PassedAlone(said) => (1, said.as_str()),
            SpecComparison::EgretOnly(said) => (2, said.as_str()),
            SpecComparison::FailsAnyway(said) => (3, said.as_str()),
            SpecComparison::NotRun(said) => (4, said.as_str()),
        };
        counts[kind] += 1;
        let text = format!("{}: {name}\n    {said}", kinds[kind]);
        match comparison {
            SpecComparison::Passed => {}
            SpecComparison::EgretOnly(_) => say::verdict(false, &text),
            _ => say::line(&format!("- {text}")),
        }
    }
    for (kind, count) in kinds.iter().zip(counts) {
        say::line(&format!("{count:4} {kind}"));
    }
    for (why, count) in &selection.left_out {
        say::line(&format!("{count:4} left out: {why}"));
    }
    ensure!(counts[2] == 0, "{} specs fail with Egret only", counts[2]);
    ensure!(counts[0] + counts[1] > 0, "no spec passed");
    Ok(())
}
