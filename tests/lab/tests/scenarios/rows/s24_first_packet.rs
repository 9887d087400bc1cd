//! S24: no packet leaves with another source, from the first on.

use anyhow::{Result, ensure};
use egret_lab::load::{Shape, inject};
use egret_lab::oracle::Expect;

use crate::bench::Bench;
use crate::world::{bank, run_for, settle};

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
        let spec = settle("director-2", &name);
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
