//! Rows of the scenario table on a whole Kubernetes cluster, with the installed chart.
//!
//! `cargo test -p egret-kubernetes --test cluster -- s01` runs the rows whose name contains `s01`.
//! Rows run one at a time, and share a cluster where they leave it as they found it. Needs the
//! image (`make image`) and Kubernetes' programs (`tests/setup.sh kubernetes`).
#![forbid(unsafe_code)]

mod rows;
mod world;

use std::process::ExitCode;

use egret_kubernetes::{cleanup, cleanup_own};
use egret_lab::bench::{self, Setting};

fn main() -> ExitCode {
    let make = world::usual;
    // A cluster keeps two cores busy by itself.
    bench::main(rows::ALL, &Setting { part: "cluster", lanes: 1, make, cleanup, cleanup_own })
}
