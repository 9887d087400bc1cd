//! Addresses of AWS: secondary private IPv4 and IPv6 addresses, and Elastic IPs that are mapped to
//! secondary private addresses, on gateways' network interfaces.
//!
//! State: EC2's, read anew for every decision; beside it, in memory, what this process has done and
//! does not see yet (`journal`), and what hardly changes (instance types, subnets). Written by the
//! one process that leads. Always: an address is at one interface at most, by EC2's own rules; a
//! step is decided by a pure function of what was read (`plan`), and the next one from a new read,
//! so that a crash between any two is gone on from; what belongs to no node of the cluster is
//! never taken. See README.md for how it works, what it costs and what to do at 3 a.m.
#![forbid(unsafe_code)]

mod call;
mod call_driver;
mod cni;
mod connect;
mod ec2;
mod errors;
mod journal;
mod metrics;
mod options;
mod place;
mod plan;
mod provider;
mod rate;
mod scan;
mod snapshot;

pub use connect::AwsCloud;
pub use metrics::CallMetrics;
pub use options::AwsOptions;
pub use provider::Aws;

#[cfg(test)]
mod tests;
