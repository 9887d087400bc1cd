use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use crate::model::{
    AddressPlan, AddressStatus, BlockGrant, ClaimRef, ClaimStatus, Cluster, EgressNodeSpec,
    NodeName, PoolName, PoolStatus, Version,
};

/// One write of the controller, with the version that the decision was made from.
///
/// Guarantees: an action that draws numbers (see [`Action::draws`]) is not ready to be written
/// before [`super::Plan::fill`] has put them in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "camelCase")]
pub enum Action {
    /// Creates (`expect: None`) or changes the plan of an address.
    AddressPlan {
        /// Which.
        address: IpAddr,
        /// The version read; `None` to create.
        expect: Option<Version>,
        /// The new plan. Its fence is 0 while `draw` is set.
        plan: AddressPlan,
        /// Which of the plan's drawn numbers becomes the fence; `None`: the fence stays.
        draw: Option<u64>,
        /// What to tell people once it is written.
        notes: Vec<Note>,
    },
    /// The cluster object: ranges, voters.
    Cluster {
        /// The version read; `None` to create.
        expect: Option<Version>,
        /// The new content.
        cluster: Cluster,
        /// What to tell people once it is written.
        notes: Vec<Note>,
    },
    /// Port blocks of a node.
    NodeSpec {
        /// Which.
        node: NodeName,
        /// The version read.
        expect: Option<Version>,
        /// The new spec. Numbers that `draws` names are 0.
        spec: EgressNodeSpec,
        /// Which drawn number goes where.
        draws: Vec<BlockDraw>,
        /// What to tell people once it is written.
        notes: Vec<Note>,
    },
    /// Removes an address that is free.
    DeleteAddress {
        /// Which.
        address: IpAddr,
        /// The version read.
        expect: Option<Version>,
        /// What to tell people once it is written.
        notes: Vec<Note>,
    },
    /// Removes an `EgressNode` that has no block left and whose Node is gone, or that somebody
    /// deletes.
    DeleteNode {
        /// Which.
        node: NodeName,
        /// The version read.
        expect: Option<Version>,
    },
    /// Takes the startup taint off a node whose agent is ready.
    AdmitPods {
        /// Which.
        node: NodeName,
    },
    /// The controller's condition of an address; all else of the status is kept as read.
    AddressStatus {
        /// Which.
        address: IpAddr,
        /// The version read.
        expect: Option<Version>,
        /// The new status.
        status: AddressStatus,
    },
    /// A pool's status.
    PoolStatus {
        /// Which.
        pool: PoolName,
        /// The new status.
        status: PoolStatus,
    },
    /// A claim's status.
    ClaimStatus {
        /// Which.
        claim: ClaimRef,
        /// The new status.
        status: ClaimStatus,
    },
}

/// A drawn number that belongs into a block grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockDraw {
    /// Position in `spec.blocks`.
    pub block: usize,
    /// Into which field.
    pub field: BlockField,
    /// Which of the plan's drawn numbers, from 0.
    pub number: u64,
}

/// The fields of a grant that carry drawn numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum BlockField {
    /// `epoch`: a new grant.
    Epoch,
    /// `ended`: the end of one.
    Ended,
}

/// Something to tell people: an event of the object that it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// What it is about, such as `StaticEgressIP payments/bank` or `EgressNode node-3`.
    pub about: String,
    /// Warning where true, Normal where false.
    pub warning: bool,
    /// CamelCase, from the list in the documentation.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
}

impl Note {
    /// A Normal event.
    pub fn normal(about: impl fmt::Display, reason: &'static str, message: String) -> Self {
        Self { about: about.to_string(), warning: false, reason, message }
    }

    /// A Warning event.
    pub fn warning(about: impl fmt::Display, reason: &'static str, message: String) -> Self {
        Self { about: about.to_string(), warning: true, reason, message }
    }
}

/// The kind and name of a claim, as events name it.
pub fn about_claim(claim: &ClaimRef) -> String {
    let kind = if claim.namespace.is_some() { "StaticEgressIP" } else { "ClusterStaticEgressIP" };
    format!("{kind} {claim}")
}

impl Action {
    /// Events to write once the action has succeeded.
    pub fn notes(&self) -> &[Note] {
        match self {
            Self::AddressPlan { notes, .. }
            | Self::Cluster { notes, .. }
            | Self::NodeSpec { notes, .. }
            | Self::DeleteAddress { notes, .. } => notes,
            Self::DeleteNode { .. }
            | Self::AdmitPods { .. }
            | Self::AddressStatus { .. }
            | Self::PoolStatus { .. }
            | Self::ClaimStatus { .. } => &[],
        }
    }

    /// How many drawn numbers the action still waits for.
    pub fn draws(&self) -> usize {
        match self {
            Self::AddressPlan { draw, .. } => usize::from(draw.is_some()),
            Self::NodeSpec { draws, .. } => draws.len(),
            _ => 0,
        }
    }

    /// Puts the drawn numbers in: number `n` of the plan becomes `first + n`.
    pub(super) fn fill(&mut self, first: u64) {
        match self {
            Self::AddressPlan { plan, draw, .. } => {
                if let Some(number) = draw.take() {
                    plan.fence = first + number;
                }
            }
            Self::NodeSpec { spec, draws, .. } => {
                for draw in draws.drain(..) {
                    if let Some(grant) = spec.blocks.get_mut(draw.block) {
                        put_number(grant, draw.field, first + draw.number);
                    }
                }
            }
            _ => {}
        }
    }
}

fn put_number(grant: &mut BlockGrant, field: BlockField, number: u64) {
    match field {
        BlockField::Epoch => grant.epoch = number,
        BlockField::Ended => grant.ended = Some(number),
    }
}
