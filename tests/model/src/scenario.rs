//! A start, an adversary with a budget, and a controller with a script.

use std::sync::Arc;

use egret_core::lease::{Input, StopMode};

use crate::search::Model;
use crate::world::{Datagram, ModelWorld, STEP, Spent, name};

/// One act of the controller, done once `when` holds; acts come in order.
#[derive(Clone, Copy)]
pub struct ControllerAct {
    /// For traces.
    pub name: &'static str,
    /// Whether it may be done now.
    pub when: fn(&ModelWorld) -> bool,
    /// What it changes.
    pub does: fn(&mut ModelWorld),
}

impl std::fmt::Debug for ControllerAct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What is searched.
#[derive(Clone, Debug)]
pub struct ModelScenario {
    /// Short, for the command line.
    pub name: &'static str,
    /// Where it begins.
    pub start: ModelWorld,
    /// Steps of time from there.
    pub horizon: u64,
    /// The adversary's budget.
    pub budget: Spent,
    /// Which nodes restart or reboot.
    pub crashing: &'static [u8],
    /// Which nodes are told to stop.
    pub stopping: &'static [u8],
    /// Datagrams older than this many steps are lost for good.
    pub delay: u64,
    /// A restarted agent may first read any earlier state of the store.
    pub stale_restart: bool,
    /// The cluster object may be read before the addresses.
    pub sets: bool,
    /// These nodes' watch of the addresses brings nothing.
    pub blind: &'static [u8],
    /// What the controller does.
    pub acts: Vec<ControllerAct>,
}

/// One step.
#[derive(Clone, Debug)]
pub enum ModelStep {
    /// Time passes.
    Time,
    /// A node's timers fire; its thread may stop after so many effects.
    Tick(u8, Option<usize>),
    /// A datagram arrives.
    Deliver(Arc<Datagram>, Option<usize>),
    /// A datagram arrives, and another copy of it stays under way.
    Duplicate(Arc<Datagram>),
    /// A node reads the newest state of the store.
    Look(u8, Option<usize>),
    /// A node's watch brings the cluster object, and not yet the addresses.
    LookAtSet(u8),
    /// A node reads consistently.
    Read(u8),
    /// A process is killed and starts again.
    Restart(u8, usize, usize),
    /// A node loses power and boots.
    Reboot(u8),
    /// A stopped thread goes on.
    Resume(u8),
    /// An agent is told to hand over and end.
    Stop(u8, Option<usize>),
    /// The controller does the next thing of its script.
    Act(ControllerAct),
}

/// Most effects of one call after which a thread is stopped.
const STALLS: usize = 6;

impl ModelScenario {
    fn end(&self) -> u64 {
        self.start.now + self.horizon * STEP
    }

    fn stalls(&self, world: &ModelWorld) -> Vec<Option<usize>> {
        let mut all = vec![None];
        if world.spent.stalls < self.budget.stalls {
            all.extend((1..STALLS).map(Some));
        }
        all
    }

    fn node_actions(&self, world: &ModelWorld, number: u8, actions: &mut Vec<ModelStep>) {
        let Some(node) = world.nodes.get(&number) else { return };
        let crashes = self.crashing.contains(&number);
        if crashes && world.spent.restarts < self.budget.restarts {
            let oldest = |newest: usize| if self.stale_restart { 0 } else { newest };
            for view in oldest(node.view)..=node.view {
                let sets = oldest(node.set)..=node.set;
                actions.extend(sets.map(|set| ModelStep::Restart(number, view, set)));
            }
        }
        if crashes && world.spent.reboots < self.budget.reboots {
            actions.push(ModelStep::Reboot(number));
        }
        if !node.stalled.is_empty() {
            actions.push(ModelStep::Resume(number));
            return;
        }
        if node.wants_read {
            actions.push(ModelStep::Read(number));
        }
        let clock = world.clocks(number).boot;
        for stall in self.stalls(world) {
            if node.machine.next_wakeup().is_some_and(|due| due <= clock) {
                actions.push(ModelStep::Tick(number, stall));
            }
            let blind = self.blind.contains(&number);
            if node.view + 1 < world.store.len() && !blind {
                actions.push(ModelStep::Look(number, stall));
            }
            if (self.sets || blind) && stall.is_none() && node.set + 1 < world.store.len() {
                actions.push(ModelStep::LookAtSet(number));
            }
            if self.stopping.contains(&number) && world.spent.stops < self.budget.stops {
                actions.push(ModelStep::Stop(number, stall));
            }
        }
    }

    fn deliver(
        &self,
        world: &mut ModelWorld,
        datagram: &Arc<Datagram>,
        stall: Option<usize>,
    ) -> usize {
        let from = name(datagram.from);
        let message = datagram.message.clone();
        world.input(datagram.to, Input::Receive { from, message }, stall)
    }

    /// Carries an action out; false where it makes no sense.
    fn apply(&self, world: &mut ModelWorld, action: &ModelStep) -> bool {
        if let Some((count, stall)) = self.apply_stallable(world, action) {
            world.spent.stalls += u8::from(stall.is_some());
            return stall.is_none_or(|after| after < count);
        }
        match action {
            ModelStep::Time => {
                world.now += STEP;
                let oldest = world.now.saturating_sub(self.delay * STEP);
                world.network.retain(|_, datagram| datagram.sent >= oldest);
            }
            ModelStep::Duplicate(datagram) => {
                world.spent.duplicates += 1;
                self.deliver(world, datagram, None);
            }
            ModelStep::LookAtSet(number) => {
                let newest = world.store.len() - 1;
                let view = world.nodes.get(number).map_or(0, |node| node.view);
                world.look(*number, view, newest, None);
            }
            ModelStep::Read(number) => world.read(*number),
            ModelStep::Restart(number, view, set) => {
                world.spent.restarts += 1;
                world.restart(*number, *view, *set);
            }
            ModelStep::Reboot(number) => {
                world.spent.reboots += 1;
                world.reboot(*number);
            }
            ModelStep::Resume(number) => world.resume(*number),
            ModelStep::Act(act) => {
                (act.does)(world);
                world.acts += 1;
            }
            ModelStep::Tick(..)
            | ModelStep::Deliver(..)
            | ModelStep::Look(..)
            | ModelStep::Stop(..) => {}
        }
        true
    }

    /// Actions after which the thread may stop between two effects: how many effects there were.
    fn apply_stallable(
        &self,
        world: &mut ModelWorld,
        action: &ModelStep,
    ) -> Option<(usize, Option<usize>)> {
        Some(match action {
            ModelStep::Tick(number, stall) => (world.input(*number, Input::Tick, *stall), *stall),
            ModelStep::Deliver(datagram, stall) => {
                world.network.retain(|_, other| !Arc::ptr_eq(other, datagram));
                (self.deliver(world, datagram, *stall), *stall)
            }
            ModelStep::Look(number, stall) => {
                let newest = world.store.len() - 1;
                (world.look(*number, newest, newest, *stall), *stall)
            }
            ModelStep::Stop(number, stall) => {
                world.spent.stops += 1;
                (world.input(*number, Input::Stop(StopMode::Restart), *stall), *stall)
            }
            _ => return None,
        })
    }
}

impl Model for ModelScenario {
    type State = ModelWorld;
    type Action = ModelStep;

    fn start(&self) -> ModelWorld {
        self.start.clone()
    }

    fn actions(&self, world: &ModelWorld) -> Vec<ModelStep> {
        let mut actions = Vec::new();
        if let Some(act) = self.acts.get(world.acts).filter(|act| (act.when)(world)) {
            actions.push(ModelStep::Act(*act));
        }
        for datagram in world.network.values() {
            let to = world.nodes.get(&datagram.to);
            if to.is_some_and(|node| node.stalled.is_empty()) {
                for stall in self.stalls(world) {
                    actions.push(ModelStep::Deliver(datagram.clone(), stall));
                }
                if world.spent.duplicates < self.budget.duplicates {
                    actions.push(ModelStep::Duplicate(datagram.clone()));
                }
            }
        }
        for number in world.nodes.keys() {
            self.node_actions(world, *number, &mut actions);
        }
        if world.now < self.end() {
            actions.push(ModelStep::Time);
        }
        actions
    }

    fn next(&self, world: &ModelWorld, action: &ModelStep) -> Option<ModelWorld> {
        let mut next = world.clone();
        self.apply(&mut next, action).then_some(next)
    }

    fn fingerprint(&self, world: &ModelWorld) -> u64 {
        world.fingerprint()
    }

    fn violation(&self, world: &ModelWorld) -> Option<String> {
        world.violation()
    }
}
