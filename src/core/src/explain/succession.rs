use std::collections::BTreeSet;
use std::time::Duration;

use crate::lease::Timing;
use crate::model::{AddressPlan, Millis, NodeName};

/// Who may take an address over from `holder`, in order: those of its plan that are there.
pub(super) fn successors<'a>(
    plan: &'a AddressPlan,
    holder: Option<&NodeName>,
    gone: &BTreeSet<NodeName>,
) -> impl Iterator<Item = &'a NodeName> {
    let others = plan.owner.iter().chain(&plan.standbys);
    others.filter(move |node| holder != Some(*node) && !gone.contains(*node))
}

/// How long after the last renewal of `holder` `next` asks for the address: by its rank, in which the
/// holder is not counted (docs/leases.md rule 8).
pub(super) fn takeover_after(
    plan: &AddressPlan,
    holder: Option<&NodeName>,
    next: &NodeName,
) -> Millis {
    let timing = Timing::default();
    let nobody = BTreeSet::new();
    let rank = successors(plan, holder, &nobody).position(|other| other == next).unwrap_or(0);
    let steps = timing.rank_step.saturating_mul(u32::try_from(rank).unwrap_or(u32::MAX));
    let silence = timing.ask(Duration::from_millis(plan.lease.0)) + steps;
    Millis(u64::try_from(silence.as_millis()).unwrap_or(u64::MAX))
}
