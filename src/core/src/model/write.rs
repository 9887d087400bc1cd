use std::net::IpAddr;

use super::{
    AddressPlan, AddressStatus, ClaimRef, ClaimStatus, Cluster, ClusterStatus, Condition,
    EgressNodeSpec, EgressNodeStatus, NodeName, PoolName, PoolStatus, ResourceVersion,
};

/// One write of one object: what the planner decides, people ask for and agents say, and what a
/// store carries out.
///
/// How a store fails is in its contract (`egret_ports::cluster_state`); `NotFound`, `Conflict` and
/// `Invalid` here are the classes of its errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The plan of an address (leader, or a person's command while no leader is there).
    AddressPlan {
        /// The egress address.
        address: IpAddr,
        /// The version that the decision was made from; `None` to create.
        expect: Option<ResourceVersion>,
        /// The new plan.
        plan: AddressPlan,
    },
    /// The status of an address (its holder or the leader). Conflicts by version too;
    /// `NotFound` where there is no such address.
    AddressStatus {
        /// The egress address.
        address: IpAddr,
        /// The version read.
        expect: Option<ResourceVersion>,
        /// The new status.
        status: AddressStatus,
    },
    /// Removes an address that is free; success where it is gone already.
    DeleteAddress {
        /// The egress address.
        address: IpAddr,
        /// The version read.
        expect: Option<ResourceVersion>,
    },
    /// Blocks and drain of a node. Creates the object where `expect` is `None`.
    NodeSpec {
        /// The node.
        node: NodeName,
        /// The version read.
        expect: Option<ResourceVersion>,
        /// The new spec.
        spec: EgressNodeSpec,
    },
    /// Removes an `EgressNode` that has no block; success where it is gone already.
    DeleteNode {
        /// The node.
        node: NodeName,
        /// The version read.
        expect: Option<ResourceVersion>,
    },
    /// Takes the startup taint off a Node; success where it has none. `Invalid` in a
    /// store whose Nodes are files of people.
    AdmitPods {
        /// The node.
        node: NodeName,
    },
    /// What an agent says of itself. Creates the object where it is missing; never conflicts with
    /// a `NodeSpec` write of another (a subresource).
    NodeStatus {
        /// The node.
        node: NodeName,
        /// The new status.
        status: EgressNodeStatus,
    },
    /// What the leader says of a node whose agent cannot say it: its condition `AgentAbsent`, or that it has
    /// none. All else of the status is the agent's, which leaves this one alone. `NotFound` where there is
    /// no such node.
    AgentAbsent {
        /// The node.
        node: NodeName,
        /// The condition; `None` takes it away.
        condition: Option<Condition>,
    },
    /// The cluster object.
    Cluster {
        /// The version read; `None` to create.
        expect: Option<ResourceVersion>,
        /// The new content.
        cluster: Cluster,
    },
    /// Pauses a pool or lets it go on (`spec.paused`). `Invalid` in a store whose pools
    /// are files of people.
    PoolPaused {
        /// The pool.
        pool: PoolName,
        /// Whether it is paused.
        paused: bool,
    },
    /// A pool's status; `NotFound` where there is no such pool.
    PoolStatus {
        /// The pool.
        pool: PoolName,
        /// The new status.
        status: PoolStatus,
    },
    /// A claim's status; `NotFound` where there is no such claim.
    ClaimStatus {
        /// The claim.
        claim: ClaimRef,
        /// The new status.
        status: ClaimStatus,
    },
    /// The cluster object's status; `NotFound` where there is none, `Invalid` in a store without an API
    /// server: nobody has anything to say there.
    ClusterStatus {
        /// The new status.
        status: ClusterStatus,
    },
}
