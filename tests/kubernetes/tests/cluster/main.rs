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
    bench::main(rows::ALL, &Setting { make: world::usual, cleanup, cleanup_own })
}
