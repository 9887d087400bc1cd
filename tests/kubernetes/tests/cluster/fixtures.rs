//! Clusters as the scenarios need them.

use anyhow::{Result, ensure};
use egret_kubernetes::{ClusterOptions, TestCluster};
use egret_lab::TestBed;

pub type ClusterFixture = egret_lab::LabFixture<TestCluster>;
pub type ClusterBench = egret_lab::bench::Bench<TestCluster>;

/// The chart with its default values, and the examples.
pub fn usual() -> Result<ClusterFixture> {
    TestCluster::with_egret(ClusterOptions::default(), &[])?.with_example()
}

/// Whether what lasts minutes runs in full (`make soak`).
pub fn soak() -> bool {
    std::env::var_os("EGRET_SOAK").is_some()
}

/// Nothing of Egret is in a worker's kernel.
pub fn clean(fixture: &ClusterFixture, worker: &str) -> Result<()> {
    let worker = fixture.lab.worker(worker)?;
    for line in ["nft list ruleset", "ip rule", "ip -6 rule", "ip -d link", "ls /sys/fs/bpf"] {
        let said = worker.shell(line)?;
        let found = said.lines().find(|line| line.contains("egret"));
        ensure!(found.is_none(), "{}: `{line}` still has {found:?}", worker.name);
    }
    Ok(())
}

/// The addresses of the claim, in text, for the API.
pub fn names(fixture: &ClusterFixture) -> Result<Vec<String>> {
    let objects = fixture.lab.objects("EgressAddress")?;
    let names = objects.iter().filter_map(|object| object["metadata"]["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}
