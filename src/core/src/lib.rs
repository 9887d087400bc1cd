//! The model and every decision of Egret, as pure functions.
//!
//! State: none. A decision takes values (a [`model::Snapshot`], a time) and returns values
//! (a plan, a node programme, a status); who calls it does the effects.
//! Always: no I/O, no clock, no environment, no async, no Kubernetes, netlink or SDK type; no
//! result depends on the order of a hash map or of the input.
#![forbid(unsafe_code)]

pub mod binding;
pub mod blocks;
pub mod by_hand;
pub mod cidr;
pub mod explain;
pub mod fabric;
mod hash;
pub mod model;
pub mod placement;
pub mod plan;
pub mod presence;
pub mod programme;
pub mod quorum;
pub mod ranges;
pub mod reason;
pub mod selection;
pub mod status;
pub mod voters;

#[cfg(test)]
mod testing;
