//! True time, and what is to happen in it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;

use egret_core::lease::{Effect, Input};
use egret_core::model::Holding;

use super::fault::SimulatedFault;

/// Something that is to happen.
#[derive(Debug)]
pub(super) enum SimulationEvent {
    Input {
        node: usize,
        boot: u32,
        input: Box<Input>,
    },
    /// A tick; void where a later one has been planned since.
    Wake {
        node: usize,
        generation: u64,
    },
    /// Effects that a stall has put off.
    Effects {
        node: usize,
        boot: u32,
        process: u32,
        effects: Vec<Effect>,
    },
    Start {
        node: usize,
    },
    Stall {
        node: usize,
    },
    /// A holder has written itself into the store.
    Written {
        address: IpAddr,
        holding: Holding,
    },
    /// What the controller has made of it can be read.
    Published,
    Fault(SimulatedFault),
}

/// What is to happen, in the order of true time.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// True time in nanoseconds.
    now: u64,
    queue: BinaryHeap<Reverse<Planned>>,
    planned: u64,
}

impl Schedule {
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    pub(super) fn plan(&mut self, after: u64, event: SimulationEvent) {
        self.planned += 1;
        self.queue.push(Reverse(Planned(self.now + after, self.planned, event)));
    }

    /// The next event until `end`, at its time; where there is none, it is `end` then.
    pub(super) fn next_until(&mut self, end: u64) -> Option<SimulationEvent> {
        match self.queue.peek() {
            Some(Reverse(Planned(at, ..))) if *at <= end => {
                self.now = self.now.max(*at);
                self.queue.pop().map(|Reverse(Planned(_, _, event))| event)
            }
            _ => {
                self.now = end;
                None
            }
        }
    }

    /// The next event, where it is an input of this boot of the node and due now.
    pub(super) fn next_input(&mut self, node: usize, boot: u32) -> Option<Input> {
        let Reverse(Planned(at, _, SimulationEvent::Input { node: of_node, boot: of_boot, .. })) =
            self.queue.peek()?
        else {
            return None;
        };
        if (*at, *of_node, *of_boot) != (self.now, node, boot) {
            return None;
        }
        match self.queue.pop()? {
            Reverse(Planned(_, _, SimulationEvent::Input { input, .. })) => Some(*input),
            _ => None,
        }
    }
}

/// True time in nanoseconds, then the order of planning.
#[derive(Debug)]
struct Planned(u64, u64, SimulationEvent);

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.1 == other.1
    }
}
impl Eq for Planned {}
impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}
