//! S24 and S25: no packet leaves with another source, from the first on.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::load::{Load, Plan, Shape, inject};
use egret_lab::oracle::Expect;
use egret_lab::{PodSpec, Stamp};

use crate::bench::Bench;
use crate::world::{BANK, await_source, bank, claim, run_for, usual, with_pool};

/// S24, shortened: pods that send as soon as their link is up.
pub fn new_pods(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let port = stage.lab.reserve_ports();
    stage.sources.expect(Expect {
        name: "s24".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port + 9)),
        allowed: bank().to_vec(),
    });
    for number in 0..100 {
        let name = format!("new-{number}");
        let spec = PodSpec::new("director-2", "payments", &name).label("app", "settle");
        stage.lab.add_pod(&spec)?;
        for count in 0..3 {
            inject(stage.lab.pod(&name)?, Shape::Syn, 43_000 + count, port)?;
        }
        stage.lab.remove_pod(&name)?;
    }
    run_for(200);
    let ledger = stage.sources.ledger("s24");
    ensure!(ledger.wrong == 0, "{} leaked: {:?}", ledger.wrong, ledger.examples.first());
    ensure!(ledger.right > 100, "only {} packets arrived at all", ledger.right);
    println!("    {} first packets, none with another source", ledger.right);
    Ok(())
}

/// Packets that are no connection: none leaves with another source.
pub fn strange_packets(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let port = stage.lab.reserve_ports();
    stage.sources.expect(Expect {
        name: "strange".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port + 9)),
        allowed: bank().to_vec(),
    });
    let shapes = [Shape::LoneReset, Shape::SynAck, Shape::Xmas, Shape::BadChecksum, Shape::Syn];
    for (number, shape) in (44_000..).zip(shapes) {
        inject(stage.lab.pod("settle-1")?, shape, number, port)?;
    }
    // What a foreign rule made untracked never meets NAT.
    let node = stage.lab.node("director-1")?;
    node.net()?.nft(&format!(
        "table inet lab-notrack {{ chain pre {{
  type filter hook prerouting priority raw;
  tcp dport {} notrack
}}
}}\n",
        port + 1
    ));
    inject(stage.lab.pod("settle-1")?, Shape::Syn, 44_100, port + 1)?;
    node.shell("nft delete table inet lab-notrack")?;
    inject(stage.lab.pod("settle-1")?, Shape::Syn, 44_101, port + 2)?;
    run_for(500);
    let ledger = stage.sources.ledger("strange");
    ensure!(ledger.wrong == 0, "leaked: {:?}", ledger.examples);
    ensure!(ledger.right >= 2, "the two good packets did not arrive: {}", ledger.right);
    Ok(())
}

/// S25: a claim comes over busy pods: what they had open goes on, what they open leaves as it.
pub fn claim_over_busy_pods(_: &mut Bench) -> Result<()> {
    let mut stage = with_pool(usual().build()?)?;
    let nodes: Vec<_> = stage.lab.nodes().iter().flat_map(|node| node.addresses()).collect();
    let pods = ["settle-1", "settle-2"];
    let mut plan = Plan::new("s25-before", &pods);
    plan.udp = false;
    let old = Load::start(&mut stage.lab, plan, Some((&stage.sources, &nodes)))?;
    run_for(500);
    let written = Stamp::now();
    stage.lab.write_manifest("bank.yaml", &claim("bank", "settle", &BANK, "Drop"))?;
    stage.await_held(crate::world::PATIENCE)?;
    for pod in pods {
        for address in bank() {
            await_source(&mut stage, pod, address)?;
        }
    }
    let plan = Plan::new("s25-after", &pods).connections(4).probe(Duration::from_millis(100));
    let new = Load::start(&mut stage.lab, plan, Some((&stage.sources, &bank())));
    let new = new.map_err(|error| crate::world::explained(&stage, error))?;
    run_for(3000);
    for load in [&old, &new] {
        crate::world::alive(&stage, load, written)?;
    }
    drop(new);
    // The claim goes: what it had opened goes on, held until no director has a connection left.
    let plan = Plan::new("s25-last", &pods).connections(4);
    let last = Load::start(&mut stage.lab, plan, Some((&stage.sources, &bank())))?;
    let removed = Stamp::now();
    stage.lab.remove_manifest("bank.yaml")?;
    run_for(5000);
    for load in [&old, &last] {
        crate::world::alive(&stage, load, removed)?;
    }
    Ok(())
}
