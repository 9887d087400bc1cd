//! Which nodes are there, and which of them vote.

pub mod liveness;
pub mod voter_set;
