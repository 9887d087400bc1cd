//! S24: no packet leaves with another source, from the first on.

use anyhow::{Result, ensure};
use egret_lab::load::{RawShape, inject};
use egret_lab::oracle::{Expect, Ledger};
use egret_lab::{LabFixture, WallTime};

use crate::fixtures::{bank, run_for, settle};
use egret_lab::bench::Bench;

/// S24, shortened: pods that send as soon as their link is up.
pub fn new_pods(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let port = fixture.lab.reserve_ports();
    fixture.sources.expect(Expect {
        name: "s24".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port + 9)),
        allowed: bank().to_vec(),
    });
    let mut starts = Vec::new();
    for number in 0..100 {
        let name = format!("new-{number}");
        let written = WallTime::now();
        fixture.lab.add_pod(&settle("director-2", &name))?;
        starts.push((written, WallTime::now()));
        for count in 0..3 {
            inject(fixture.lab.pod(&name)?, RawShape::Syn, 43_000 + count, port)?;
        }
        fixture.lab.remove_pod(&name)?;
    }
    run_for(200);
    let ledger = fixture.sources.ledger("s24");
    explain(fixture, &starts, &ledger);
    ensure!(ledger.wrong == 0, "{} leaked: {:?}", ledger.wrong, ledger.examples.first());
    ensure!(ledger.right > 100, "only {} packets arrived at all", ledger.right);
    egret_lab::note!("    {} first packets, none with another source", ledger.right);
    Ok(())
}

/// For every leak, when its pod was written, up and programmed.
fn explain(fixture: &LabFixture, starts: &[(WallTime, WallTime)], ledger: &Ledger) {
    for wrong in &ledger.examples {
        let Some((written, up)) = starts.iter().rfind(|(_, up)| *up <= wrong.at) else { continue };
        let events = fixture.lab.journal().events("programmed", *written);
        let done = events.iter().find(|entry| entry.from == "director-2");
        let done = done.map(|entry| entry.at.millis_after(*written));
        egret_lab::note!(
            "    leaked {:.1} ms after its manifest; up after {:.1} ms, programmed after {done:.1?}",
            wrong.at.millis_after(*written),
            up.millis_after(*written)
        );
    }
}

/// Packets that are no connection: none leaves with another source.
pub fn strange_packets(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let port = fixture.lab.reserve_ports();
    fixture.sources.expect(Expect {
        name: "strange".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port + 9)),
        allowed: bank().to_vec(),
    });
    let shapes = [
        RawShape::LoneReset,
        RawShape::SynAck,
        RawShape::Xmas,
        RawShape::BadChecksum,
        RawShape::Syn,
    ];
    for (number, shape) in (44_000..).zip(shapes) {
        inject(fixture.lab.pod("settle-1")?, shape, number, port)?;
    }
    // What a foreign rule made untracked never meets NAT.
    let node = fixture.lab.node("director-1")?;
    node.net()?.nft(&format!(
        "table inet lab-notrack {{ chain pre {{
  type filter hook prerouting priority raw;
  tcp dport {} notrack
}}
}}\n",
        port + 1
    ));
    inject(fixture.lab.pod("settle-1")?, RawShape::Syn, 44_100, port + 1)?;
    node.shell("nft delete table inet lab-notrack")?;
    inject(fixture.lab.pod("settle-1")?, RawShape::Syn, 44_101, port + 2)?;
    run_for(500);
    let ledger = fixture.sources.ledger("strange");
    ensure!(ledger.wrong == 0, "leaked: {:?}", ledger.examples);
    ensure!(ledger.right >= 2, "the two good packets did not arrive: {}", ledger.right);
    Ok(())
}
