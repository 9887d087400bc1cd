//! One model per mechanism.
//!
//! Always three voters at a time, of up to four nodes; node 1 is the owner, node 2 its standby,
//! both of them voters too.

mod drains;
mod resumptions;

use std::collections::BTreeMap;

use egret_core::lease::{AddressView, InjectedFault, InjectedFaults, PlanView};
use egret_core::model::{Holding, Millis, VoterSet};

use crate::scenario::{ControllerAct, ModelScenario};
use crate::world::{ADDRESS, ModelWorld, Rates, STEP, Spent, lease, name, set, store};

pub use drains::drains;
pub use resumptions::resumptions;

const TRUE: Rates = Rates { raw: 100, boot: 100 };

/// How a model is made worse than it is meant.
#[derive(Clone, Debug, Default)]
pub struct BrokenRules {
    /// A rule that the machines break.
    pub mistake: Option<InjectedFault>,
    /// A rule that the controller or the world breaks.
    pub world: bool,
}

impl BrokenRules {
    fn mistakes(&self) -> InjectedFaults {
        self.mistake.map(InjectedFaults::one).unwrap_or_default()
    }

    /// A broken machine.
    pub fn by(mistake: InjectedFault) -> Self {
        Self { mistake: Some(mistake), world: false }
    }

    /// A broken controller, or clocks beyond the margin.
    pub fn world() -> Self {
        Self { mistake: None, world: true }
    }
}

fn begin(nodes: &[u8], ranks: &[u8], steps: u64, t_max: u64, broken: &BrokenRules) -> ModelWorld {
    let nodes: Vec<(u8, Rates)> = nodes.iter().map(|node| (*node, TRUE)).collect();
    let view = store(&set(1, &[1, 2, 3]), ranks, lease(steps), lease(t_max));
    ModelWorld::new(view, &nodes, broken.mistakes(), 50).past_silence(2 * t_max, Some(1))
}

fn scenario(name: &'static str, start: ModelWorld, horizon: u64) -> ModelScenario {
    ModelScenario {
        name,
        start,
        horizon,
        budget: Spent::default(),
        crashing: &[],
        stopping: &[],
        delay: 1,
        stale_restart: false,
        sets: false,
        blind: &[],
        acts: Vec::new(),
    }
}

/// Two candidates, three voters, datagrams lost, late, out of order and (with a budget) twice.
pub fn leases(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let budget = Spent { duplicates: u8::from(broken.mistake.is_none()), ..Spent::default() };
    let start = begin(&[1, 2, 3], &[1, 2], 1, 1, broken);
    ModelScenario { budget, ..scenario("leases", start, horizon) }
}

/// The plan moves a held address by force: its holder closes and releases, its thread may stop
/// anywhere between.
pub fn releases(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let start = begin(&[1, 2, 3], &[1, 2], 2, 2, broken).held_with(3);
    let acts = vec![ControllerAct {
        name: "forced move",
        when: |_| true,
        does: |world| {
            world.publish(|view| {
                if let Some(plan) = view.addresses.get_mut(&ADDRESS) {
                    plan.fence = 2;
                    plan.owner = Some(name(2));
                    plan.standbys = vec![name(1)];
                }
            });
        },
    }];
    let budget = Spent { stalls: 1, ..Spent::default() };
    ModelScenario { acts, budget, ..scenario("releases", start, horizon) }
}

/// T becomes shorter while the address is held.
pub fn lengths(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let nodes = [(1, TRUE), (2, TRUE), (3, TRUE)];
    let view = store(&set(1, &[1, 2, 3]), &[1, 2], lease(3), lease(3));
    let mut start = ModelWorld::new(view, &nodes, broken.mistakes(), 50);
    start.renew_often();
    let acts = vec![ControllerAct {
        name: "shorter T",
        when: |_| true,
        does: |world| {
            world.publish(|view| {
                if let Some(plan) = view.addresses.get_mut(&ADDRESS) {
                    plan.lease = lease(1);
                }
            });
        },
    }];
    ModelScenario {
        acts,
        ..scenario("lengths", start.past_silence(6, Some(1)).held_with(3), horizon)
    }
}

/// Processes are killed between any two effects and start again.
pub fn restarts(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let start = begin(&[1, 2, 3], &[1, 2], 1, 1, broken);
    let budget = Spent { stalls: 1, restarts: 1, ..Spent::default() };
    ModelScenario { budget, crashing: &[1, 3], ..scenario("restarts", start, horizon) }
}

/// Nodes lose power and boot; T_max is longer than the lease that is asked for first.
pub fn reboots(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let start = begin(&[1, 2, 3], &[1, 2], 2, 2, broken).held_with(3);
    let budget = Spent { reboots: 1, ..Spent::default() };
    ModelScenario { budget, crashing: &[1, 3], ..scenario("reboots", start, horizon) }
}

/// A holder whose clock is slow by as much as the margin allows, or by more.
pub fn clocks(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let slow = Rates { raw: 100, boot: if broken.world { 85 } else { 90 } };
    // At 90 % its deadline is past at 1.9 steps, as the grants are; at 85 % after 2.01.
    let length = Millis(171);
    let view = store(&set(1, &[1, 2, 3]), &[1, 2], length, length);
    let nodes = [(1, slow), (2, TRUE), (3, TRUE)];
    let start = ModelWorld::new(view, &nodes, broken.mistakes(), 50).past_silence(4, Some(1));
    scenario("clocks", start.held_with(3), horizon)
}

fn publish_set(world: &mut ModelWorld, set: VoterSet) {
    world.publish(|view| {
        if let Some(cluster) = &mut view.cluster {
            cluster.set = Some(set);
        }
    });
}

fn newest(world: &ModelWorld) -> u64 {
    let cluster = world.store.last().and_then(|view| view.cluster.as_ref());
    cluster.and_then(|cluster| cluster.set.as_ref()).map_or(0, |set| set.number)
}

fn set_is_acknowledged(world: &ModelWorld) -> bool {
    let number = newest(world);
    let (acknowledged, all) = world.members(|node| node.acknowledged_set >= number);
    2 * acknowledged > all
}

const ADD_4: ControllerAct = ControllerAct {
    name: "voters 1 2 3 4",
    when: |_| true,
    does: |world| publish_set(world, set(2, &[1, 2, 3, 4])),
};
const REMOVE_3: ControllerAct = ControllerAct {
    name: "voters 1 2 4",
    when: set_is_acknowledged,
    does: |world| publish_set(world, set(3, &[1, 2, 4])),
};
const REPLACE_3: ControllerAct = ControllerAct {
    name: "voters 1 2 4 at once",
    when: |_| true,
    does: |world| publish_set(world, set(2, &[1, 2, 4])),
};

/// Voter 3 is replaced by node 4 while node 1 holds with the votes of 1 and 3.
pub fn sets(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let start = begin(&[1, 2, 3, 4], &[1, 2], 2, 2, broken).held_with(3);
    let acts = if broken.world { vec![REPLACE_3] } else { vec![ADD_4, REMOVE_3] };
    // The broken ones show without it, and sooner.
    let sets = broken.mistake.is_none();
    ModelScenario { acts, sets, ..scenario("sets", start, horizon) }
}

/// The same, after all of it, but node 1 has not heard of any change: voter 3 may be restarted and
/// read an old state of the store.
pub fn set_restarts(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let full = store(&set(1, &[1, 2, 3]), &[1, 2], lease(1), lease(1));
    let empty = PlanView { addresses: BTreeMap::new(), ..full.clone() };
    let nodes: Vec<(u8, Rates)> = (1..=4).map(|node| (node, TRUE)).collect();
    let mut start = ModelWorld::new(empty, &nodes, broken.mistakes(), 50).past_silence(2, None);
    (ADD_4.does)(&mut start);
    for node in [2, 3, 4] {
        start.look(node, 1, 1, None);
        start.read(node);
    }
    start.publish(|view| view.addresses = full.addresses);
    for node in [2, 3, 4] {
        start.look(node, 2, 2, None);
    }
    // Voters 2, 3 and 4 have acknowledged, so the next change is written, and 2 and 4 have read it.
    (REMOVE_3.does)(&mut start);
    for node in [2, 4] {
        start.look(node, 2, 3, None);
    }
    start.network.clear();
    start.now += 2 * STEP;
    start.look(1, 2, 0, None);
    let budget = Spent { restarts: 1, ..Spent::default() };
    let crashing = &[3];
    let rest = scenario("set restarts", start, horizon);
    ModelScenario { budget, crashing, stale_restart: true, ..rest }
}

fn revoke(plan: &mut AddressView) {
    plan.fence = 2;
    plan.revoked = true;
}

const REVOKE: ControllerAct = ControllerAct {
    name: "revoke",
    when: |_| true,
    does: |world| world.publish(|view| view.addresses.values_mut().for_each(revoke)),
};
const FREE: ControllerAct = ControllerAct {
    name: "free",
    when: |world| {
        let (acknowledged, all) = world.members(|node| node.acknowledged_fence >= 2);
        2 * acknowledged > all
    },
    does: |world| world.freed = true,
};
const FREE_ON_THE_HOLDERS_WORD: ControllerAct = ControllerAct {
    name: "free on the holder's word",
    when: |world| world.nodes.get(&1).is_some_and(|node| node.left),
    does: |world| world.freed = true,
};

/// A held address is revoked and freed.
pub fn fences(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let start = begin(&[1, 2, 3], &[1, 2], 2, 2, broken).held_with(3);
    let free = if broken.world { FREE_ON_THE_HOLDERS_WORD } else { FREE };
    ModelScenario { acts: vec![REVOKE, free], ..scenario("fences", start, horizon) }
}

/// The same with a voter that reboots.
pub fn fence_reboots(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let budget = Spent { reboots: 1, ..Spent::default() };
    ModelScenario { name: "fence reboots", budget, crashing: &[3], ..fences(broken, horizon) }
}

/// The same with a voter that is restarted and reads an old state of the store.
pub fn fence_restarts(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let budget = Spent { restarts: 1, ..Spent::default() };
    let start = begin(&[1, 2, 3], &[1, 2], 1, 1, broken);
    let acts = vec![REVOKE, FREE];
    let rest = scenario("fence restarts", start, horizon);
    ModelScenario { acts, budget, crashing: &[3], stale_restart: true, ..rest }
}

const REMOVE_2: ControllerAct = ControllerAct {
    name: "voters 1 3 4",
    when: set_is_acknowledged,
    does: |world| publish_set(world, set(3, &[1, 3, 4])),
};

/// An address has been freed by voters 2 and 3; then node 4 becomes a voter, and 2 leaves; nodes
/// 1, 4 and 5, a standby, have not heard of the end.
pub fn fences_and_sets(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let view = store(&set(1, &[1, 2, 3]), &[2, 5], lease(1), lease(1));
    let nodes: Vec<(u8, Rates)> = (1..=5).map(|node| (node, TRUE)).collect();
    let mut start = ModelWorld::new(view, &nodes, broken.mistakes(), 50).past_silence(2, None);
    (REVOKE.does)(&mut start);
    for node in [2, 3] {
        start.look(node, 1, 1, None);
    }
    start.network.clear();
    (FREE.does)(&mut start);
    (ADD_4.does)(&mut start);
    let acts = vec![REMOVE_2];
    ModelScenario { acts, blind: &[1, 4, 5], ..scenario("fences and sets", start, horizon) }
}

fn moved(plan: &mut AddressView, holding: &Holding) {
    plan.owner = Some(name(2));
    plan.standbys = vec![name(1), name(3)];
    plan.made_for = Some(holding.clone());
}

const MOVE: ControllerAct = ControllerAct {
    name: "move to 2",
    when: |world| world.holding().is_some_and(|holding| holding.node == name(1)),
    does: |world| {
        if let Some(holding) = world.holding() {
            world.publish(|view| {
                view.addresses.values_mut().for_each(|plan| moved(plan, &holding));
            });
        }
    },
};

/// A planned move, and then a revocation.
pub fn moves(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let start = begin(&[1, 2, 3], &[1, 2], 2, 2, broken).held_with(3);
    let acts = vec![MOVE, REVOKE, FREE];
    ModelScenario { acts, ..scenario("moves", start, horizon) }
}

const CUT_OFF_1: ControllerAct = ControllerAct {
    name: "the uplink of 1 loses its carrier",
    when: |_| true,
    does: |world| {
        world.cut_off = Some(1);
        // The node sees it by itself: it looks as it does at a new state of the store.
        world.publish(|_| {});
    },
};

/// A holder that is cut off from the network hands over by itself, and then a revocation.
pub fn cut_offs(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let start = begin(&[1, 2, 3], &[1, 2], 2, 2, broken).held_with(3);
    let acts = vec![CUT_OFF_1, REVOKE, FREE];
    ModelScenario { acts, ..scenario("cut off", start, horizon) }
}

/// A planned move with a third candidate, and a thread that may stop anywhere.
pub fn moves_of_three(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let start = begin(&[1, 2, 3], &[1, 2, 3], 2, 2, broken).held_with(3);
    ModelScenario { acts: vec![MOVE], ..scenario("moves of three", start, horizon) }
}

/// A planned move, a revocation, and the old holder's or the successor's process killed between
/// any two steps.
pub fn move_restarts(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let budget = Spent { restarts: 1, ..Spent::default() };
    ModelScenario { name: "move restarts", budget, crashing: &[1, 2], ..moves(broken, horizon) }
}

const ACCEPTED_AT_2: ControllerAct = ControllerAct {
    name: "the cloud accepts to deliver to 2",
    when: |world| world.held_by(2).is_some(),
    does: |world| {
        let holding = world.held_by(2);
        world.publish(|view| {
            for plan in view.addresses.values_mut() {
                (plan.holding, plan.accepted) = (holding.clone(), Some(name(2)));
            }
        });
    },
};
const DELIVERED_TO_2: ControllerAct =
    ControllerAct { name: "it does", when: |_| true, does: |world| world.fabric = Some(2) };
const OBSERVED_AT_2: ControllerAct = ControllerAct {
    name: "it is seen to",
    when: |_| true,
    does: |world| {
        world.publish(|view| {
            for plan in view.addresses.values_mut() {
                (plan.attached, plan.accepted) = (Some(name(2)), None);
            }
        });
    },
};

/// A planned move where the cloud is the fence and takes its time; node 3 is the director. The old
/// holder may be silent instead, or hand over too late.
pub fn cloud_moves(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let mut view = store(&set(1, &[1, 2, 3]), &[1, 2], lease(2), lease(2));
    for plan in view.addresses.values_mut() {
        (plan.no_deadline, plan.attached) = (true, Some(name(1)));
        plan.directors = [name(3)].into();
    }
    let nodes = [(1, TRUE), (2, TRUE), (3, TRUE)];
    let mut start = ModelWorld::new(view, &nodes, broken.mistakes(), 50);
    start.fabric = Some(1);
    let mut start = start.past_silence(4, Some(1)).held_with(3);
    if let Some(holding) = start.held_by(1) {
        start.publish(|view| {
            for plan in view.addresses.values_mut() {
                moved(plan, &holding);
                plan.holding = Some(holding.clone());
            }
        });
    }
    start.look(2, 1, 1, None);
    start.look(1, 1, 1, None);
    let acts = vec![ACCEPTED_AT_2, DELIVERED_TO_2, OBSERVED_AT_2];
    ModelScenario { acts, ..scenario("cloud moves", start, horizon) }
}

/// The holder is told to stop, with two standbys, and its thread may stop anywhere.
pub fn stops(broken: &BrokenRules, horizon: u64) -> ModelScenario {
    let start = begin(&[1, 2, 3], &[1, 2, 3], 2, 2, broken).held_with(3);
    let budget = Spent { stops: 1, stalls: 1, ..Spent::default() };
    ModelScenario { budget, stopping: &[1], ..scenario("stops", start, horizon) }
}
