//! The agent of one node: it steers the node's pods, carries addresses and votes.
//!
//! State: what the kernel holds is the kernel's (see `egret-datapath`), leases are the lease
//! thread's ([`lease`]); the main loop here remembers what it has last said to the store and what
//! it has still to say. Always: a snapshot becomes a programme by pure functions; the kernel is
//! never emptied because the store is unreachable or the agent ends; a write that fails is
//! repeated with the next snapshot or tick.

mod address_status;
mod args;
mod blocks;
mod cni;
mod datapath;
mod error;
mod events;
mod lease;
mod links;
mod main_loop;
mod metrics;
mod node_status;
mod remembered;
mod start;
mod teardown;
mod update;

pub use args::AgentArgs;
pub use cni::{CniError, remove as remove_cni_plugin};
pub use error::AgentError;
pub use metrics::{Measures, register as register_metrics};
pub use start::run;
pub use teardown::{LeftBehind, teardown};
