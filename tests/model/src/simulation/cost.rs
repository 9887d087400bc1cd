//! What a voter's machine costs a datagram.

use std::time::{Duration, Instant};

use egret_core::lease::{Effect, Input};

use super::Simulation;
use super::node::name;
use super::setup::{MS, Setup};

/// The time a voter takes for one renewal of every holder, all addresses held.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// How many datagrams that is.
    pub datagrams: usize,
    /// Each in a turn of its own: taken in, then time looked at.
    pub one_by_one: Duration,
    /// All in one turn.
    pub together: Duration,
    /// Bytes kept, in postcard, after each turn.
    pub kept: usize,
}

/// Measures both in turn; `None` where not every address is held 10 s after the boot.
pub fn cost(addresses: usize) -> Option<Cost> {
    let mut simulation = Simulation::new(Setup { addresses, ..Setup::default() });
    simulation.run(10_000 * MS);
    if !simulation.orphans().is_empty() {
        return None;
    }
    let voter =
        (0..simulation.setup.voters).min_by_key(|node| simulation.agents[*node].entries.len())?;
    let mut requests = Vec::new();
    for node in (0..simulation.setup.nodes).filter(|node| *node != voter) {
        let agent = &simulation.agents[node];
        let mut machine = agent.machine.clone()?;
        let later = agent.clocks(simulation.now() + 90 * MS);
        for effect in machine.handle(later, Input::Tick) {
            if let Effect::Send { to, message } = effect
                && to == name(voter)
            {
                requests.push(Input::Receive { from: name(node), message });
            }
        }
    }
    let agent = &simulation.agents[voter];
    let (machine, now) = (agent.machine.clone()?, agent.clocks(simulation.now() + 91 * MS));
    let mut kept = 0;
    let begun = Instant::now();
    let mut alone = machine.clone();
    for request in &requests {
        kept += keep(&alone.handle(now, request.clone()));
        kept += keep(&alone.handle(now, Input::Tick));
        std::hint::black_box(alone.next_wakeup());
    }
    let one_by_one = begun.elapsed();
    let begun = Instant::now();
    let mut all = machine;
    kept += keep(&all.handle_all(now, requests.iter().cloned()));
    std::hint::black_box(all.next_wakeup());
    let together = begun.elapsed();
    let turns = requests.len().max(1) + 1;
    Some(Cost { datagrams: requests.len(), one_by_one, together, kept: kept / turns })
}

/// As the lease thread does before anything else, but for the file.
fn keep(effects: &[Effect]) -> usize {
    let kept = effects.iter().find_map(|effect| match effect {
        Effect::Persist(kept) => postcard::to_stdvec(kept).ok(),
        _ => None,
    });
    std::hint::black_box(kept).map_or(0, |bytes| bytes.len())
}
