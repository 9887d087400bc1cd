//! The agent of one node: it steers the node's pods, carries addresses and votes.
//!
//! State: what the kernel holds is the kernel's (see `egret-datapath`), leases are the lease
//! thread's ([`lease_thread`]); the main loop here remembers what it has last said to the store and what
//! it has still to say. Always: a snapshot becomes a steering config by pure functions; the kernel is
//! never emptied because the store is unreachable or the agent ends; a write that fails is
//! repeated with the next snapshot or tick.

mod accepted_writes;
mod address_status;
mod args;
mod blocks;
mod bypass_watch;
mod cni;
mod connections;
mod endpoint_flags;
mod error;
mod events;
mod firewall_reading;
#[cfg(test)]
mod golden;
mod guard_file;
mod host_shutdown;
mod interface_config;
mod interface_health;
mod interface_history;
mod interface_memory;
mod kept_settings;
mod kernel;
mod lease_thread;
mod local_addresses;
mod metrics;
mod moving_endpoints;
mod node_status;
mod odd_pods;
mod passage_watch;
mod plan_feed;
mod plan_update;
mod pod_owners;
mod program_proofs;
mod reach_survey;
mod reconcile;
mod refused_writes;
mod router_watch;
mod snapshot_cache;
mod startup;
mod system_bus;
mod teardown;
#[cfg(test)]
mod testing;
mod tunnel_endpoints;
mod tunnel_watch;
mod uplink_reach;
mod uplink_selection;

pub use args::AgentArgs;
pub use cni::{PluginInstallError, remove as remove_cni_plugin};
pub use error::AgentError;
pub use kept_settings::kept_settings;
pub use metrics::{AgentMetrics, register as register_metrics};
pub use startup::run;
pub use teardown::{LeftBehind, teardown};
