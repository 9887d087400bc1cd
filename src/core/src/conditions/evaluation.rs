use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::holder_reach::HolderReach;
use crate::ipam::Bindings;
use crate::memory::LeaderMemory;
use crate::model::{
    AddressPlan, Condition, ConditionType, Millis, NodeName, PoolName, Snapshot, Timestamp,
};
use crate::placement::Balance;
use crate::reason::{Cause, Reason};

/// A condition before it is dated.
pub(crate) struct Evaluation {
    pub(super) kind: ConditionType,
    pub(super) status: bool,
    pub(super) cause: Cause,
}

impl Evaluation {
    pub(crate) fn new(
        kind: ConditionType,
        status: bool,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, status, cause: Cause::new(reason, message) }
    }

    /// Dated now where the status has changed, else as before.
    pub(super) fn date(self, before: &[Condition], generation: i64, now: Timestamp) -> Condition {
        let Cause { reason, message } = self.cause;
        let condition = Condition::new(self.kind, self.status, reason, message, now);
        Condition { observed_generation: generation, ..condition }.dated_by(before)
    }
}

/// As a list for people.
pub(super) fn names<'a>(nodes: impl Iterator<Item = &'a NodeName>) -> String {
    let names: Vec<&str> = nodes.map(NodeName::as_str).collect();
    names.join(", ")
}

/// All that statuses are made from: the snapshot, and what this plan makes of it.
pub struct ConditionInputs<'a> {
    /// What was read.
    pub snapshot: &'a Snapshot,
    /// What the leader remembers, with what it knows of clouds.
    pub memory: &'a LeaderMemory,
    /// Who gets what.
    pub bindings: &'a Bindings,
    /// The addresses as the plan leaves them.
    pub plans: &'a BTreeMap<IpAddr, AddressPlan>,
    /// What moves to which node once the cloud has made it ready.
    pub awaited: &'a BTreeMap<IpAddr, NodeName>,
    /// What must leave its owner, and so waits for a limited time.
    pub timed: &'a BTreeSet<IpAddr>,
    /// How evenly the addresses of each pool lie that is rebalanced.
    pub balances: &'a BTreeMap<PoolName, Balance>,
    /// Which holders are not reached, and by whom.
    pub(crate) reach: &'a HolderReach<'a>,
    /// T_max of the cluster.
    pub t_max: Millis,
    /// Now.
    pub now: Timestamp,
}
