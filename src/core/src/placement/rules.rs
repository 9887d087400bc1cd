use serde::Serialize;

use super::gateways::EligibleGateways;
use crate::model::{AddressPlan, Millis};

/// The most standbys of an address. Each costs the holder's renewals one more recipient and a port
/// block's quarantine one more acknowledgement.
pub const MAX_STANDBYS: usize = 3;

/// How long a node must have been there before an address goes back to it (failback
/// `Immediately`).
pub const FAILBACK_AFTER: Millis = Millis::from_secs(300);

/// How long an address that must leave its owner waits for a cloud that has to make its next one
/// ready. Then it goes all the same: a drain ends.
pub const READY_WITHIN: Millis = Millis::from_secs(60);

/// How long after a rebalancing move the next one may be made, of whatever address and pool.
pub(super) const REBALANCE_EVERY: Millis = Millis::from_secs(60);

/// How long an address stays after a rebalancing move before it is moved by another.
pub(super) const REBALANCE_SAME_AFTER: Millis = Millis::from_secs(1800);

/// How long no address moves for evenness to a gateway that others were moved off since their directors
/// did not reach it.
pub(super) const UNREACHED_FOR: Millis = Millis::from_secs(6 * 3600);

/// Why an address gets another owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum MoveReason {
    /// It had none.
    First,
    /// Another gateway has taken it over and is adopted as its owner.
    Adopted,
    /// A person asked for this node.
    Preferred,
    /// It goes back to the node that it failed over from.
    Failback,
    /// It makes its pool more even.
    Rebalanced,
    /// Most of its directors do not reach its owner.
    Unreached,
    /// Its owner is drained or cordoned, or leaves.
    Drained,
    /// Its owner is absent, or off.
    Absent,
    /// Its owner may not carry it any more: selector, subnet, endpoint or key.
    Ineligible,
}

/// Whether placement must leave this plan alone. Without its pool nobody knows who may carry an
/// address: it keeps the gateways that it has.
pub(super) fn is_fixed(gateways: &EligibleGateways<'_>, plan: &AddressPlan) -> bool {
    let revoked = plan.is_revoked();
    plan.paused || revoked || !gateways.knows(&plan.pool)
}
