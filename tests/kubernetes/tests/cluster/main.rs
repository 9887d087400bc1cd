//! The scenario table on a whole Kubernetes cluster, with the installed chart.
//!
//! `cargo test -p egret-kubernetes --test cluster -- s01` runs the scenarios whose name contains `s01`.
//! `--lanes 1` (or `EGRET_LANES=1`) runs them one at a time. They share a cluster where they leave it
//! as they found it. Needs the image (`make image`) and Kubernetes' programs (`tests/setup.sh
//! kubernetes`).
#![forbid(unsafe_code)]

mod cases;
mod fixtures;

use std::process::ExitCode;

use egret_kubernetes::{cleanup, cleanup_own};
use egret_lab::bench::{self, Setting};

/// A cluster at rest takes a third of two cores: a third lane would take more time than it gives.
const LANES: usize = 2;

fn main() -> ExitCode {
    let make = fixtures::usual;
    bench::main(cases::ALL, &Setting { part: "cluster", lanes: LANES, make, cleanup, cleanup_own })
}
