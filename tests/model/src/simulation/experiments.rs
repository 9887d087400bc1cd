//! What is measured.

use egret_core::lease::InjectedFaults;

use super::Simulation;
use super::fault::{RandomFaults, SimulatedFault};
use super::setup::{MS, Setup};

/// From the hard death of the holder to the next one's lease, in nanoseconds; `None` where nobody
/// took over within 10 s.
pub fn failover(setup: Setup) -> Option<u64> {
    let mut simulation = Simulation::new(setup);
    let wait = 3000 * MS + simulation.random.below(1000) * MS;
    simulation.run(wait);
    let address = simulation.store.addresses().next()?;
    let holder = *simulation.holders(address).first()?;
    let died = simulation.now();
    simulation.fault(SimulatedFault::PowerOff(holder, 0));
    while simulation.holders(address).is_empty() {
        simulation.run(MS / 4);
        if simulation.now() > died + 10_000 * MS {
            return None;
        }
    }
    Some(simulation.now() - died)
}

/// Random faults for 12 s, then calm: the time until every address has a holder again, in
/// nanoseconds, or what was wrong. All nodes are up at the end of the faults, but may be in the
/// silence after a boot.
pub fn disorder(seed: u64, mistakes: InjectedFaults) -> Result<u64, String> {
    let setup = Setup {
        seed,
        addresses: 3,
        voters: if seed.is_multiple_of(2) { 3 } else { 5 },
        stalls: 120,
        bent_clocks: true,
        mistakes,
        ..Setup::default()
    };
    let mut simulation = Simulation::new(setup);
    simulation.run(2000 * MS);
    simulation.plan_faults(RandomFaults { every: 250 * MS, length: 12_000 * MS });
    simulation.run(12_000 * MS);
    let calm = simulation.now();
    while !simulation.orphans().is_empty() {
        simulation.run(5 * MS);
        if simulation.now() > calm + 4000 * MS {
            return Err(format!("nobody holds {:?} 4 s after the faults", simulation.orphans()));
        }
    }
    let waited = simulation.now() - calm;
    simulation.run(2000 * MS);
    match simulation.violations.into_iter().next() {
        Some(violation) => Err(violation),
        None => Ok(waited),
    }
}
