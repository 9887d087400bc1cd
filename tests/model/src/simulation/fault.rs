//! What goes wrong.

use egret_core::lease::UplinkReach;

use super::random::Random;
use super::setup::MS;

/// One thing that goes wrong, or right again.
#[derive(Clone, Debug)]
pub(super) enum SimulatedFault {
    /// The node loses power, and boots after so many nanoseconds; never for 0.
    PowerOff(usize, u64),
    /// The process is killed, and starts again after so many nanoseconds.
    Kill(usize, u64),
    /// The node's threads do not run for so many nanoseconds.
    Freeze(usize, u64),
    /// These nodes do not reach the others, in either direction.
    Cut(Vec<usize>),
    /// The first does not reach the second.
    OneWay(usize, usize),
    /// All reach all.
    Heal,
    /// Lost datagrams in a thousand from now on.
    Loss(u64),
    /// The node's uplink reaches the addresses' network, or not, from now on.
    Reach(usize, UplinkReach),
    /// Told to stop with a handover, and started again after so many nanoseconds.
    Stop(usize, u64),
    /// Taken out of all plans, for good.
    Drain(usize),
}

/// Faults at random.
#[derive(Clone, Copy, Debug)]
pub(super) struct RandomFaults {
    /// Mean time between two of them, in nanoseconds.
    pub(super) every: u64,
    /// For how long.
    pub(super) length: u64,
}

impl RandomFaults {
    /// Which faults, each with after how many nanoseconds.
    pub(super) fn draw(self, nodes: usize, random: &mut Random) -> Vec<(u64, SimulatedFault)> {
        let mut faults = Vec::new();
        let mut at = 0;
        loop {
            at += 1 + random.below(2 * self.every);
            if at >= self.length {
                return faults;
            }
            faults.push((at, any_fault(nodes, random)));
        }
    }
}

fn any_node(nodes: usize, random: &mut Random) -> usize {
    random.below(nodes as u64) as usize
}

fn any_fault(nodes: usize, random: &mut Random) -> SimulatedFault {
    let node = any_node(nodes, random);
    match random.below(13) {
        0 => SimulatedFault::PowerOff(node, (50 + random.below(3000)) * MS),
        1 => SimulatedFault::Kill(node, (10 + random.below(600)) * MS),
        2 | 3 => SimulatedFault::Freeze(node, (50 + random.below(900)) * MS),
        4 => SimulatedFault::Cut(vec![node, any_node(nodes, random)]),
        5 => SimulatedFault::OneWay(node, any_node(nodes, random)),
        6 => SimulatedFault::Loss(random.below(300)),
        7 => SimulatedFault::Stop(node, (100 + random.below(600)) * MS),
        12 => SimulatedFault::Drain(node),
        8 | 9 => SimulatedFault::Reach(node, any_reach(random)),
        _ => SimulatedFault::Heal,
    }
}

fn any_reach(random: &mut Random) -> UplinkReach {
    match random.below(3) {
        0 => UplinkReach::Steady,
        1 => UplinkReach::Unsteady,
        _ => UplinkReach::Lost,
    }
}
