//! S17 and S18: somebody else has the address; two claims want it.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_lab::{LabFixture, TestBed, WallTime, wait_until};

use crate::fixtures::{PATIENCE, claim, run_for};
use egret_lab::bench::Bench;

/// A foreign host answers for an address before it is announced: a condition, and no fight.
pub fn foreign_host(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let begun = WallTime::now();
    fixture.lab.watch.run("ip addr add 203.0.113.20/32 dev eth0");
    fixture
        .lab
        .write_manifest("taken.yaml", &claim("taken", "nobody", &["203.0.113.20"], "Drop"))?;
    let found = wait_until("a conflict that is named", PATIENCE, || {
        said(fixture, "EgressAddress", "203.0.113.20", "Conflict")
            .or_else(|| said(fixture, "StaticEgressIP", "203.0.113.20", "Conflict"))
    });
    let fights = fixture.answers.announcements(begun);
    fixture.lab.remove_manifest("taken.yaml")?;
    fixture.lab.watch.run("ip addr del 203.0.113.20/32 dev eth0");
    found?;
    let fight = fights.iter().find(|a| a.address.to_string() == "203.0.113.20");
    ensure!(fight.is_none(), "it was announced against the host that has it: {fight:?}");
    Ok(())
}

/// Two claims want one address: the first keeps it, the second says why it has none. An address
/// outside the pool, and a node's own, are refused with the field.
pub fn duplicates(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let wishes =
        [("second", "203.0.113.17"), ("outside", "203.0.113.99"), ("node", "203.0.113.101")];
    for (name, address) in wishes {
        let text = claim(name, "nobody", &[address], "Drop");
        fixture.lab.write_manifest(&format!("{name}.yaml"), &text)?;
    }
    for (name, address) in wishes {
        let what = format!("claim {name} says why it has not got {address}");
        let refused = wait_until(&what, Duration::from_secs(20), || {
            let objects = fixture.lab.objects("StaticEgressIP").ok()?;
            let own = objects.into_iter().find(|object| object["metadata"]["name"] == name)?;
            let conditions = own["status"]["conditions"].as_array()?.clone();
            conditions.into_iter().find(|c| c["status"] == "False" && c["message"] != "")
        })?;
        egret_lab::note!("    {name}: {}: {}", refused["reason"], refused["message"]);
    }
    for (name, _) in wishes {
        fixture.lab.remove_manifest(&format!("{name}.yaml"))?;
    }
    run_for(500);
    fixture.await_held(PATIENCE)
}

/// The object of that kind about `about` mentions `word`.
fn said(fixture: &LabFixture, kind: &str, about: &str, word: &str) -> Option<()> {
    let objects = fixture.lab.objects(kind).ok()?;
    let found = objects.iter().map(ToString::to_string);
    found.into_iter().find(|text| text.contains(about) && text.contains(word)).map(drop)
}
