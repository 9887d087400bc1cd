use egret_core::plan::Action;
use egret_ports::cluster_state::Write;

/// The write that carries an action out.
pub(crate) fn write_of(action: &Action) -> Write {
    match action.clone() {
        Action::AddressPlan { address, expect, plan, .. } => {
            Write::AddressPlan { address, expect, plan }
        }
        Action::Cluster { expect, cluster, .. } => Write::Cluster { expect, cluster },
        Action::NodeSpec { node, expect, spec, .. } => Write::NodeSpec { node, expect, spec },
        Action::DeleteAddress { address, expect, .. } => Write::DeleteAddress { address, expect },
        Action::AdmitPods { node } => Write::AdmitPods { node },
        Action::DeleteNode { node, expect } => Write::DeleteNode { node, expect },
        Action::AddressStatus { address, expect, status } => {
            Write::AddressStatus { address, expect, status }
        }
        Action::PoolStatus { pool, status } => Write::PoolStatus { pool, status },
        Action::ClaimStatus { claim, status } => Write::ClaimStatus { claim, status },
    }
}

/// Whether a failure of this action ends the turn: numbers in node specs must appear in order, so
/// a later one must not be written where an earlier one was not (see `core::plan`).
pub(crate) fn ends_turn(action: &Action) -> bool {
    matches!(action, Action::NodeSpec { .. } | Action::Cluster { .. })
}
