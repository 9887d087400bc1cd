//! Real Kubernetes for tests: an API server alone ([`ApiServer`]), and whole clusters in network
//! namespaces.
//!
//! State: every value owns its processes and a directory of its own below the system's temporary
//! directory, whose name carries this process's id; nothing has a name or a port that another one
//! uses, so several run side by side. Always: dropping a value removes all of it, and [`cleanup`]
//! removes what a killed process left. The binaries come from `tests/setup.sh kubernetes`.
#![forbid(unsafe_code)]

mod api_server;
mod binaries;
mod cgroup;
mod cluster;
mod image;
mod image_store;
mod kubectl;
mod leftovers;
mod machine;
mod options;
mod pki;
mod place;
mod shared;
mod worker;

pub use api_server::{ApiServer, ApiServerOptions};
pub use binaries::{binary, conformance, oldest_api_server, repository};
pub use cluster::{NAMESPACE, POD_PATIENCE, TestCluster, egret_image};
pub use image::BOX;
pub use kubectl::Kubectl;
pub use leftovers::{cleanup, cleanup_own, end_on_signal};
pub use options::{ClusterOptions, Network, Proxy};
pub use place::Place;
pub use shared::SharedFixture;
pub use worker::Worker;
