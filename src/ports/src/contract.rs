//! Contract suites: functions that panic where an implementation breaks a trait's contract.

pub mod cluster_state;
pub mod objects;
pub mod patient;
pub mod provider;
pub mod steering;
