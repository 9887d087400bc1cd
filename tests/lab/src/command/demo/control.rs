use std::time::Duration;

use anyhow::Result;
use egret_lab::control::OrdinarySnat;
use egret_lab::demonstration::{DemoResult, mark, window};
use egret_lab::load::{Load, LoadPlan};
use egret_lab::{LEASE, TestBed, WallTime, say};

use crate::command::topology;

/// The same power-off and the same load with ordinary SNAT on the gateway; returns how many
/// connections were lost.
pub(super) fn play(plan: LoadPlan, result: &mut DemoResult) -> Result<usize> {
    say::head("Negative control: ordinary SNAT on the gateway, failover by moving the address");
    let mut lab = say::step("the same laboratory, without Egret", || topology().build())?;
    let addresses = ["203.0.113.17".parse()?, "2001:db8:5::11".parse()?];
    let snat = OrdinarySnat::install(&lab, addresses, "gateway-1")?;
    let load = say::step("the same load", || Load::start(&mut lab, plan, None))?;
    std::thread::sleep(Duration::from_secs(2));
    let off = lab.power_off("gateway-1")?;
    std::thread::sleep((off + LEASE).since(WallTime::now()));
    let moved = snat.move_to(&lab, "gateway-2")?;
    say::line(&format!("gateway-2 announces it after {:.0} ms", moved.millis_after(off)));
    std::thread::sleep(Duration::from_secs(11));
    let report = load.report(off);
    let lost = report.lost.len();
    let text = format!("{lost} of {} connections lost", report.connections);
    let why = "the new gateway does not know them. So this measurement can fail";
    say::verdict(lost > 0, &format!("{text}: {why}"));
    let marks = vec![mark(off, "gateway-1 is off"), mark(moved, "gateway-2 has the address")];
    let when = (off, Duration::from_secs(10));
    result.windows.push(window("The same power-off", (text, true), when, &load, marks));
    Ok(lost)
}
