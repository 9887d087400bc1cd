//! The scenario table, in laboratories.
//!
//! `cargo test -p egret-lab --test scenarios -- s01` runs the scenarios whose name contains `s01`;
//! `--lanes 1` (or `EGRET_LANES=1`) runs them one at a time. They share a laboratory where they leave
//! it as they found it: booting one costs T_max × 1.12 before the first grant.
#![forbid(unsafe_code)]

mod cases;
mod datagrams;
mod fabric;
mod fixtures;
mod google;
mod region;

use std::process::ExitCode;

use egret_lab::bench::{self, Setting};

/// Scenarios mostly wait: four lanes take less than half of two cores.
const LANES: usize = 4;

fn main() -> ExitCode {
    let make = || fixtures::with_claim(fixtures::usual().build()?);
    let (cleanup, cleanup_own) = (egret_lab::cleanup, egret_lab::cleanup_own);
    bench::main(
        cases::ALL,
        &Setting { part: "laboratory", lanes: LANES, make, cleanup, cleanup_own },
    )
}
