//! A claim with two addresses: while EC2 is away, new connections use the one that still has a holder.

use anyhow::{Context, Result, ensure};
use egret_lab::address::AddressFamily;
use egret_lab::bench::Bench;
use egret_lab::cloud::Zone;
use egret_lab::load::source_seen;
use egret_lab::{LabFixture, TestBed, WallTime};
use serde_json::json;

use crate::fabric::await_unready;
use crate::fixtures::{PATIENCE, await_source, run_for};
use crate::region::two_private;

const POD: &str = "settle-1";

/// EC2 and the API server are both away when the holder of a pod's address dies: new connections may leave with
/// the claim's other address, without a call. The claim says so once it can be asked, and its first address is
/// used again once EC2 is back.
pub fn without_ec2_and_api_server(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(two_private(&[Zone::A, Zone::A, Zone::A])?);
    let used = source_seen(&mut fixture.lab, POD, AddressFamily::V4)?;
    let mut others = fixture.addresses.clone();
    others.retain(|address| *address != used);
    let other = *others.first().context("two addresses")?;
    let old = delivered(fixture, used)?;
    if delivered(fixture, other)? == old {
        // Both were bound when this one was the only gateway that EC2 had told of.
        let to = if old == "gateway-1" { "gateway-2" } else { "gateway-1" };
        fixture.lab.run_egret(&["move", &other.to_string(), "--to", to])?;
        fixture.await_successor(other, &old, PATIENCE)?;
        // Until its holder's directors know.
        run_for(2000);
    }
    fixture.lab.stop_control_plane()?;
    fixture.lab.cloud()?.inject_fault("fail", &json!({"times": 1_000_000, "cut": true}))?;
    let off = fixture.lab.power_off(&old)?;
    // A connection that begins before the lease ends keeps its address, and is asked for for 5 s.
    run_for(3000);
    await_source(fixture, POD, other)?;
    let after = WallTime::now().millis_after(off);
    egret_lab::note!(
        "    {POD} leaves with {other} instead of {used} {after:.0} ms after {old}'s death"
    );
    ensure!(fixture.lab.cloud()?.changes(off)?.is_empty(), "EC2 was called");
    fixture.lab.start_control_plane()?;
    let said =
        await_unready(fixture, &format!("; new connections may leave with {other} meanwhile"))?;
    egret_lab::note!("    meanwhile: {said}");
    let back = WallTime::now();
    fixture.lab.cloud()?.clear()?;
    await_source(fixture, POD, used)?;
    let after = WallTime::now().millis_after(back);
    egret_lab::note!("    {POD} leaves with {used} again {after:.0} ms after EC2 is back");
    ensure!(fixture.sources.wrong() == 0, "{:?}", fixture.sources.examples());
    Ok(())
}

fn delivered(fixture: &LabFixture, address: std::net::IpAddr) -> Result<String> {
    fixture.holder(address).with_context(|| format!("{address} is delivered to nobody"))
}
