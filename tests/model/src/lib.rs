//! Model checker and simulation of the leases (LEASES.md), over the real
//! [`Machine`](egret_core::quorum::Machine).
#![forbid(unsafe_code)]

pub mod catalogue;
pub mod hash;
pub mod models;
pub mod scenario;
pub mod search;
pub mod simulation;
pub mod world;
