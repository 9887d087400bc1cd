//! The rows of the scenario table, in laboratories.
//!
//! `cargo test -p egret-lab --test scenarios -- s01` runs the rows whose name contains `s01`;
//! `--lanes 1` (or `EGRET_LANES=1`) runs them one at a time. They share a laboratory where they leave
//! it as they found it: booting one costs T_max × 1.12 before the first grant.
#![forbid(unsafe_code)]

mod region;
mod rows;
mod world;

use std::process::ExitCode;

use egret_lab::bench::{self, Setting};

/// Rows mostly wait: four lanes take less than half of two cores.
const LANES: usize = 4;

fn main() -> ExitCode {
    let make = || world::with_claim(world::usual().build()?);
    let (cleanup, cleanup_own) = (egret_lab::cleanup, egret_lab::cleanup_own);
    bench::main(
        rows::ALL,
        &Setting { part: "laboratory", lanes: LANES, make, cleanup, cleanup_own },
    )
}
