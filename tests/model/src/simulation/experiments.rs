//! What is measured.

use egret_core::lease::InjectedFaults;

use super::fault::{RandomFaults, SimulatedFault};
use super::schedule::SimulationEvent;
use super::setup::{MS, PROBING, Setup};
use super::{Simulation, counts, node};

/// From the hard death of the holder to the next one's lease, in nanoseconds; `None` where nobody
/// took over within 10 s.
pub fn failover(setup: Setup) -> Option<u64> {
    let mut simulation = Simulation::new(setup);
    // Whom nobody was heard before probes first.
    let wait = PROBING + 3000 * MS + simulation.random.below(1000) * MS;
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

/// The holder dies, and its first standby, which takes over, is drained out of the plan at about that
/// moment. From the death to a holder that the plan ranks, in nanoseconds.
///
/// # Errors
/// What was wrong: two holders, none after one had taken over, or one outside the plan 4 s later.
pub fn drained_takeover(setup: Setup) -> Result<u64, String> {
    let mut simulation = Simulation::new(setup);
    simulation.run(PROBING + 3000 * MS);
    let drained_after = simulation.random.below(1000) * MS;
    let address = simulation.store.addresses().next().ok_or("no address")?;
    let holder = *simulation.holders(address).first().ok_or("no holder")?;
    let standby =
        simulation.store.first_beside(address, &node::name(holder)).ok_or("no standby")?;
    let drained = node::number(&standby).ok_or("no number")?;
    let died = simulation.now();
    simulation.fault(SimulatedFault::PowerOff(holder, 0));
    simulation.schedule.plan(drained_after, SimulationEvent::Fault(SimulatedFault::Drain(drained)));
    let mut taken_over = false;
    loop {
        simulation.run(MS / 4);
        let holders = simulation.holders(address);
        taken_over |= !holders.is_empty();
        let after = (simulation.now() - died) / MS;
        if taken_over && holders.is_empty() && !simulation.is_coming(address) {
            return Err(format!("nobody forwards, {after} ms after the death"));
        }
        if let Some(violation) = simulation.violations.first() {
            return Err(violation.clone());
        }
        if after > 1500 && !holders.is_empty() && simulation.strays().is_empty() {
            return Ok(simulation.now() - died);
        }
        if after > 5000 {
            return Err(format!(
                "held by {holders:?} outside the plan, {after} ms after the death"
            ));
        }
    }
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
        if simulation.now() > calm + 4000 * MS + PROBING {
            return Err(format!("nobody holds {:?} 9 s after the faults", simulation.orphans()));
        }
    }
    let waited = simulation.now() - calm;
    simulation.run(2000 * MS);
    if !simulation.strays().is_empty() {
        simulation.run(13_000 * MS);
    }
    match (simulation.violations.first(), simulation.strays()) {
        (Some(violation), _) => Err(violation.clone()),
        (None, strays) if strays.is_empty() => Ok(waited),
        (None, strays) => Err(format!("the holders of {strays:?} stay outside the plan")),
    }
}

/// What came of a time without a death.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    /// How often an address was taken from a holder that had only stalled, or was cut off by loss.
    pub takeovers: u64,
    /// How often a lease ended against its holder's will.
    pub lost: u64,
    /// Datagrams a second, of all nodes.
    pub datagrams: f64,
}

/// Lets everything run for so many seconds, after 10 s in which it settles.
///
/// # Errors
/// The moment in which two nodes held an address.
pub fn rest(setup: Setup, seconds: u64) -> Result<Rest, String> {
    let mut simulation = Simulation::new(setup);
    simulation.run(10_000 * MS);
    let before = (simulation.reports.len(), simulation.datagrams);
    simulation.run(seconds * 1000 * MS);
    let counts = counts(&simulation.reports[before.0..]);
    let count = |kind: &str| counts.get(kind).copied().unwrap_or(0);
    let datagrams = (simulation.datagrams - before.1) as f64 / seconds as f64;
    match simulation.violations.into_iter().next() {
        Some(violation) => Err(violation),
        None => Ok(Rest { takeovers: count("takeovers"), lost: count("leases lost"), datagrams }),
    }
}

/// An address of a cloud whose nodes stall for 0.1 to 1.5 s, `stalls` times an hour each, over a network
/// that loses 5 %. What the default of a lease there rests on (docs/leases.md, "Lengths of time").
pub fn cloud_stalls(lease: u64, stalls: u64) -> Setup {
    Setup {
        lease,
        t_max: 10_000,
        loss: 50,
        stalls,
        shortest_stall: 100,
        longest_stall: 1500,
        cloud: true,
        ..Setup::default()
    }
}
