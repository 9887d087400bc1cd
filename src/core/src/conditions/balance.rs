use super::evaluation::{ConditionInputs, Evaluation};
use crate::model::{ConditionType, PoolName, RebalanceMove, Text};
use crate::placement::Balance;
use crate::reason::Reason;

/// Whether the addresses of a pool lie evenly on its gateways; `None` of one that is not rebalanced, or
/// paused.
pub(super) fn pool(view: &ConditionInputs<'_>, pool: &PoolName) -> Option<Evaluation> {
    let say = |status, reason, message: String| {
        Some(Evaluation::new(ConditionType::Balanced, status, reason, message))
    };
    match view.balances.get(pool)? {
        Balance::Even => {
            let message = "no move makes its addresses lie more evenly on its gateways";
            say(true, Reason::Even, message.to_owned())
        }
        Balance::Intended(RebalanceMove { address, from, to, not_before }) => {
            let ready = match view.awaited.get(address) {
                Some(_) => " and not before its cloud has made that ready",
                None => "",
            };
            let at = not_before.to_text();
            let message = format!(
                "{address} moves from {from} to {to}, which has fewer, not before {at}{ready}; \
                 spec.gateways.rebalance: Never leaves it where it is"
            );
            say(false, Reason::MoveIntended, message)
        }
        Balance::HeldBack(why) => {
            let message = format!(
                "some gateways have more of its addresses than others; nothing is moved for that while {why}"
            );
            say(false, Reason::MoveHeldBack, message)
        }
    }
}

/// The next move that is intended.
pub(super) fn intended(view: &ConditionInputs<'_>, pool: &PoolName) -> Option<RebalanceMove> {
    match view.balances.get(pool)? {
        Balance::Intended(found) => Some(found.clone()),
        Balance::Even | Balance::HeldBack(_) => None,
    }
}
