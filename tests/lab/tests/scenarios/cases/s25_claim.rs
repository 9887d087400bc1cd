//! S25: a claim begins over busy pods, and ends over busy pods.

use std::time::Duration;

use anyhow::Result;
use egret_lab::scenarios::{claim_made_anew, claim_over_busy_pods};
use egret_lab::{WallTime, wait_until};

use crate::fixtures::{BANK, POOL, alive, bank, claim, usual, with_claim, with_pool};
use egret_lab::bench::Bench;

/// With a `releaseAfter` that passes: in the end nobody holds the addresses.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_pool(usual().build()?)?);
    fixture
        .lab
        .write_manifest("pool.yaml", &POOL.replace("releaseAfter: 1h", "releaseAfter: 9s"))?;
    let (claim, begun) = (claim("bank", "settle", &BANK, "Drop"), WallTime::now());
    let old = claim_over_busy_pods(fixture, ["settle-1", "settle-2"], ("bank", &claim))?;
    wait_until("nobody holds the addresses any more", Duration::from_secs(30), || {
        bank().iter().all(|address| fixture.holder(*address).is_none()).then_some(())
    })?;
    alive(fixture, &old, begun).map(drop)
}

/// It is deleted and applied again before its last connections have ended.
pub fn made_anew(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_claim(usual().build()?)?);
    claim_made_anew(fixture, "settle-1", ("bank", &claim("bank", "settle", &BANK, "Drop")))
}
