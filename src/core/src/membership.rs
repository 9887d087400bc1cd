//! Which nodes are there, which leave, and which of them vote.

pub mod departure;
pub mod liveness;
pub mod voter_set;
