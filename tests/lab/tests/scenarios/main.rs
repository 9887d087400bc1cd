//! The rows of the scenario table, in the laboratory, one after another.
//!
//! `cargo test -p egret-lab --test scenarios -- s01` runs the rows whose name contains `s01`.
//! Rows run one at a time, and share a laboratory where they leave it as they found it: booting
//! one costs T_max × 1.12 before the first grant.
#![forbid(unsafe_code)]

mod region;
mod rows;
mod world;

use std::process::ExitCode;

use egret_lab::bench::{self, Setting};

fn main() -> ExitCode {
    let make = || world::with_claim(world::usual().build()?);
    let (cleanup, cleanup_own) = (egret_lab::cleanup, egret_lab::cleanup_own);
    bench::main(rows::ALL, &Setting { make, cleanup, cleanup_own })
}
