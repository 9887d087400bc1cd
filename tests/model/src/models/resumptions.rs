//! An end that is taken back (docs/leases.md rule 18).

use super::{BrokenRules, FREE, REVOKE, begin, scenario};
use crate::scenario::{ControllerAct, ModelScenario};
use crate::world::ModelWorld;

fn taken_back(world: &mut ModelWorld, fence: u64) {
    world.publish(|view| {
        for plan in view.addresses.values_mut() {
            (plan.fence, plan.revoked) = (fence, false);
        }
    });
}

fn revoked_again(world: &mut ModelWorld, fence: u64) {
    world.publish(|view| {
        for plan in view.addresses.values_mut() {
            (plan.fence, plan.revoked) = (fence, true);
        }
    });
}

const TAKE_BACK: ControllerAct =
    ControllerAct { name: "take the end back", when: |_| true, does: |world| taken_back(world, 3) };
const REVOKE_AGAIN: ControllerAct =
    ControllerAct { name: "revoke again", when: |_| true, does: |world| revoked_again(world, 4) };
const FREE_AFTER_ALL: ControllerAct = ControllerAct {
    name: "free",
    when: |world| {
        let (acknowledged, all) = world.members(|node| node.acknowledged_fence >= 4);
        2 * acknowledged > all
    },
    does: |world| world.freed = true,
};
const TAKE_BACK_AS_IT_IS: ControllerAct = ControllerAct {
    name: "take the end back with the fence that ended it",
    when: |_| true,
    does: |world| taken_back(world, 2),
};
const REVOKE_AS_BEFORE: ControllerAct = ControllerAct {
    name: "revoke again with that fence",
    when: |_| true,
    does: |world| revoked_again(world, 2),
};

/// A held address is revoked, taken back, held again, revoked again, and freed.
pub fn resumptions(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let start = begin(&[1, 2, 3], &[1, 2], 2, 2, broken).held_with(3);
    let acts = match broken.world {
        false => vec![REVOKE, TAKE_BACK, REVOKE_AGAIN, FREE_AFTER_ALL],
        true => vec![REVOKE, TAKE_BACK_AS_IT_IS, REVOKE_AS_BEFORE, FREE],
    };
    ModelScenario { acts, ..scenario("resumptions", start, horizon) }
}
