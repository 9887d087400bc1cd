//! The simulation as a test: safety under every disorder, and a holder soon after it ends.

use egret_core::lease::{InjectedFault, InjectedFaults};
use egret_model::simulation::{self, MS, Setup, Simulation};

#[test]
fn never_two_holders_and_always_one_again() {
    for seed in 0..100 {
        if let Err(what) = simulation::disorder(seed, InjectedFaults::default()) {
            panic!("seed {seed}: {what}");
        }
    }
}

#[test]
fn the_simulation_notices_rounds_that_outlive_a_release() {
    let broken = InjectedFaults::one(InjectedFault::RoundsOutliveRelease);
    let found = (0..100).any(|seed| simulation::disorder(seed, broken.clone()).is_err());
    assert!(found, "two holders in none of 100 seeds");
}

#[test]
fn a_takeover_takes_about_t() {
    let setup = |seed| Setup { seed, loss: 10, ..Setup::default() };
    let mut times: Vec<u64> =
        (0..200).map(|seed| simulation::failover(setup(seed)).unwrap() / MS).collect();
    times.sort_unstable();
    assert!(times[100] <= 500, "{times:?}");
    assert!(times[197] <= 600, "{times:?}");
}

/// What the status of its address refuses it, since the plan does not rank it, moves on to who is ranked.
#[test]
fn a_standby_that_wins_while_it_is_drained_hands_over() {
    for seed in 0..200 {
        let setup = Setup { seed, loss: 10, stalls: 60, ..Setup::default() };
        if let Err(what) = simulation::drained_takeover(setup) {
            panic!("seed {seed}: {what}");
        }
    }
}

#[test]
fn nobody_takes_over_at_rest() {
    let setup = Setup { seed: 5, stalls: 60, longest_stall: 350, loss: 50, ..Setup::default() };
    let mut simulation = Simulation::new(setup);
    simulation.run(300_000 * MS);
    let counts = simulation::counts(&simulation.reports);
    assert_eq!(counts.get("takeovers"), None, "{counts:?}");
    assert_eq!(simulation.violations, Vec::<String>::new());
}

/// What `cargo run --release -p egret-model -- cloud-leases` shows in 48 h, with more stalls in less time.
#[test]
fn in_a_cloud_2_s_outlast_stalls_that_1_s_do_not() {
    let takeovers =
        |lease| simulation::rest(simulation::cloud_stalls(lease, 60), 1800).unwrap().takeovers;
    let (short, long) = (takeovers(1000), takeovers(2000));
    assert_eq!(long, 0, "false takeovers with T = 2 s");
    assert!(short > 0, "T = 1 s costs nothing more: make it the default in a cloud");
}
