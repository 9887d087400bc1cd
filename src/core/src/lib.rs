//! The model and every decision of Egret, as pure functions.
//!
//! State: none. A decision takes values (a [`model::Snapshot`], a time) and returns values
//! (a plan, a node steering config, a status); who calls it does the effects.
//! Always: no I/O, no clock, no environment, no async, no Kubernetes, netlink or SDK type; no
//! result depends on the order of a hash map or of the input.
#![forbid(unsafe_code)]

pub mod cidr;
pub mod cloud;
pub mod conditions;
pub mod explain;
mod holder_reach;
pub mod ipam;
pub mod lease;
pub mod membership;
pub mod memory;
pub mod model;
pub mod node_config;
pub mod placement;
pub mod planner;
pub mod port_blocks;
pub mod reason;
mod rendezvous;
pub mod selection;
pub mod tunnel_network;

#[cfg(test)]
mod testing;
