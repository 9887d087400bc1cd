//! S10: the controller is killed again and again; the data plane does not notice.

use std::time::Duration;

use anyhow::Result;
use egret_lab::scenarios::undisturbed;
use egret_lab::{LabFixture, TestBed, WallTime, wait_until};

use crate::fixtures::{claim, run_for};
use egret_lab::bench::Bench;

pub fn run(bench: &mut Bench) -> Result<()> {
    undisturbed(bench.fixture()?, "s10", "while controllers died", killed).map(drop)
}

fn killed(fixture: &mut LabFixture) -> Result<()> {
    for _ in 0..3 {
        fixture.lab.stop_controller(false)?;
        run_for(500);
        fixture.lab.start_controller()?;
        run_for(1500);
    }
    let address = "203.0.113.22".parse()?;
    let written = WallTime::now();
    fixture.lab.write_manifest("late.yaml", &claim("late", "nobody", &["203.0.113.22"], "Drop"))?;
    let bound = wait_until("a claim is served again", Duration::from_secs(20), || {
        fixture.lab.recorded_holder(address)
    });
    fixture.lab.remove_manifest("late.yaml")?;
    bound?;
    let took = WallTime::now().millis_after(written);
    egret_lab::note!("    served {took:.0} ms after it was written");
    Ok(())
}
