//! S25: a claim begins over busy pods, and ends over busy pods.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::load::{Load, OneWay, Plan};
use egret_lab::oracle::Expect;
use egret_lab::{Stage, Stamp, wait_until};

use crate::world::{
    BANK, PATIENCE, POOL, alive, await_source, bank, claim, run_for, usual, with_pool,
};
use egret_lab::bench::Bench;

const PODS: [&str; 2] = ["settle-1", "settle-2"];

/// What they had open goes on with the node's address, what they open leaves with the claim's;
/// what was opened under the claim survives its end, until `releaseAfter`; then nobody holds it.
pub fn run(bench: &mut Bench) -> Result<()> {
    let stage = bench.own(with_pool(usual().build()?)?);
    stage.lab.write_manifest("pool.yaml", &POOL.replace("releaseAfter: 1h", "releaseAfter: 9s"))?;
    let nodes: Vec<_> = stage.lab.nodes().iter().flat_map(|node| node.addresses()).collect();
    let mut plan = Plan::new("s25-before", &PODS);
    plan.udp = false;
    let old = Load::start(&mut stage.lab, plan, Some((&stage.sources, &nodes)))?;
    let one_way = OneWay::start(&mut stage.lab, "settle-1", Duration::from_millis(20))?;
    run_for(500);
    let written = Stamp::now();
    stage.lab.write_manifest("bank.yaml", &claim("bank", "settle", &BANK, "Drop"))?;
    stage.await_held(PATIENCE)?;
    for pod in PODS {
        for address in bank() {
            await_source(stage, pod, address)?;
        }
    }
    one_way_follows(stage, &one_way)?;
    let plan = Plan::new("s25-after", &PODS).connections(4).probe(Duration::from_millis(100));
    let new = Load::start(&mut stage.lab, plan, Some((&stage.sources, &bank())))?;
    run_for(3000);
    for load in [&old, &new] {
        alive(stage, load, written)?;
    }
    drop((new, one_way));
    ends(stage, &old)
}

/// A stream that never sees a reply keeps no address for ever: it leaves with the claim's now.
fn one_way_follows(stage: &Stage, stream: &OneWay) -> Result<()> {
    stage.sources.expect(Expect {
        name: "s25 one way".to_owned(),
        destinations: Vec::new(),
        ports: Some((stream.port(), stream.port())),
        allowed: bank().to_vec(),
    });
    let right = || (stage.sources.ledger("s25 one way").right >= 50).then_some(());
    wait_until(
        "the one-way stream leaves with the claim's address",
        Duration::from_secs(5),
        right,
    )?;
    let wrong = stage.sources.ledger("s25 one way").wrong;
    ensure!(wrong == 0, "{wrong} packets of a one-way stream left with the old source");
    Ok(())
}

fn ends(stage: &mut Stage, old: &Load) -> Result<()> {
    let plan = Plan::new("s25-last", &PODS).connections(4);
    let last = Load::start(&mut stage.lab, plan, Some((&stage.sources, &bank())))?;
    let removed = Stamp::now();
    stage.lab.remove_manifest("bank.yaml")?;
    run_for(5000);
    for load in [old, &last] {
        alive(stage, load, removed)?;
    }
    wait_until("nobody holds the addresses any more", Duration::from_secs(30), || {
        bank().iter().all(|address| stage.holder(*address).is_none()).then_some(())
    })?;
    alive(stage, old, removed).map(drop)
}
