//! S25 in a cloud: a claim is deleted and applied again, and EC2 hears of it as little as can be.

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::cloud::Zone;
use egret_lab::cloud::checks::await_rest;
use egret_lab::scenarios::{claim_made_anew, claimed};
use egret_lab::{LabFixture, TestBed, wait_until};

use crate::fixtures::{PATIENCE, await_source};
use crate::region::{ASSIGN, UNASSIGN, names, private};

/// A claim by count: the pool chooses its address.
const COUNTED: &str = "\
apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {name: counted, namespace: payments}
spec:
  poolRef: {name: partners}
  count: 1
  podSelector: {matchLabels: {app: other}}
  destinations: [{cidr: 198.51.100.0/24}]
  whenUnavailable: Drop
";
const POD: &str = "other-1";

/// While its address serves the last connections no call changes anything; once it is off every
/// interface, the same address is put back at once.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(private(&[Zone::A, Zone::A])?);
    let pool = std::fs::read_to_string(fixture.lab.store().join("pool.yaml"))?;
    let lasting = pool.replace("releaseAfter: 2s", "releaseAfter: 1h");
    ensure!(lasting != pool, "another releaseAfter: {pool}");
    fixture.lab.write_manifest("pool.yaml", &lasting)?;
    fixture.lab.apply_claim("counted", COUNTED)?;
    let address = *claimed(fixture, "counted")?.first().context("an address")?;
    await_source(fixture, POD, address)?;

    await_rest(|since| fixture.lab.cloud()?.changes(since))?;
    let before = changes(fixture)?.len();
    claim_made_anew(fixture, POD, ("counted", COUNTED))?;
    let made: Vec<String> = changes(fixture)?.split_off(before);
    ensure!(made.is_empty(), "changes while it was released: {made:?}");

    fixture.lab.write_manifest("pool.yaml", &pool)?;
    fixture.lab.delete_claim("counted")?;
    let cloud = fixture.lab.cloud()?;
    wait_until("EC2 to deliver it nowhere", PATIENCE, || {
        cloud.attached_to(address).is_none().then_some(())
    })?;
    wait_until("the answer of the call that took it off", PATIENCE, || {
        changes(fixture).ok().filter(|all| all.len() > before).map(drop)
    })?;
    let ended = changes(fixture)?.split_off(before);
    ensure!(ended == [UNASSIGN], "its end took {ended:?}");
    fixture.lab.apply_claim("counted", COUNTED)?;
    let again = claimed(fixture, "counted")?;
    ensure!(again == [address], "it had {address}, has {again:?}");
    await_source(fixture, POD, address)?;
    let made = changes(fixture)?.split_off(before + ended.len());
    // One; and one more where a standby took it over before its holder had it again (docs/leases.md, 18).
    let attached = made.iter().all(|call| call == ASSIGN) && (1..=2).contains(&made.len());
    ensure!(attached, "{made:?} for an address that was off");
    Ok(())
}

/// Every call of EC2's that changed something.
fn changes(fixture: &LabFixture) -> Result<Vec<String>> {
    Ok(names(&fixture.lab.cloud()?.changes(egret_lab::WallTime(0))?))
}
