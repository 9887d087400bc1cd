//! A holder that is drained out of a plan of before its takeover (docs/leases.md rule 6).

use super::{BrokenRules, FREE, REVOKE, begin, scenario};
use crate::scenario::{ControllerAct, ModelScenario};
use crate::world::{ADDRESS, name};

const DRAIN_1: ControllerAct = ControllerAct {
    name: "drain 1, whose takeover the controller has not read",
    when: |_| true,
    does: |world| {
        world.publish(|view| {
            if let Some(plan) = view.addresses.get_mut(&ADDRESS) {
                (plan.owner, plan.standbys) = (Some(name(2)), vec![name(3)]);
            }
        });
    },
};

/// A holder is drained: its newest plan ranks others, and was made for no holding of its own. Then a
/// revocation.
pub fn drains(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let mut start = begin(&[1, 2, 3], &[1, 2, 3], 2, 2, broken).held_with(3);
    (start.successors, start.keeps) = (3, Some(1));
    let acts = vec![DRAIN_1, REVOKE, FREE];
    ModelScenario { acts, ..scenario("drains", start, horizon) }
}
