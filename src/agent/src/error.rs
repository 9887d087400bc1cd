use egret_datapath::bpf::BpfError;
use egret_datapath::constants::BadSetting;
use egret_peers::{BindError, StateError};
use egret_ports::error::PortError;
use egret_runtime::lock::LockError;

/// Why an agent could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A flag that cannot work.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// Another program on the host uses what Egret would take.
    #[error("{0}")]
    Collision(String),
    /// No address to reach the other nodes by.
    #[error(
        "no uplink has an address of the node's own (egress addresses are not): name one with --uplink, or the address with --endpoint"
    )]
    NoEndpoint,
    /// None of the addresses given for that is this host's.
    #[error(
        "--endpoint {0} is on no interface of this host: name an address that this node has, not one for \
         all nodes, or leave it out"
    )]
    EndpointAbsent(String),
    /// The host has no address in a subnet given for that.
    #[error(
        "no interface of this host that is up has an address in --endpoint {0}: name the subnet that the nodes \
         have in common, or leave it out"
    )]
    EndpointNotWithin(String),
    /// The kernel refused something at the start.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The BPF programs could not be loaded or attached.
    #[error(transparent)]
    Bpf(#[from] BpfError),
    /// The node's key.
    #[error(transparent)]
    State(#[from] StateError),
    /// The peers' socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The node's lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The boot's id, or the thread.
    #[error("{action}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// The lease thread gave up; what it holds ends by the kernel's deadlines.
    #[error("the lease thread ended: {0}")]
    LeaseThread(String),
}
