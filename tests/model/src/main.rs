//! Searches the models, and simulates failovers and rest.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Parser, Subcommand};
use egret_model::catalogue::{self, Refused};
use egret_model::ends::{self, Ends};
use egret_model::models::BrokenRules;
use egret_model::scenario::ModelScenario;
use egret_model::search::{SearchLimits, SearchOutcome, search};
use egret_model::simulation::{self, MS, Setup};

/// Model checker and simulation of Egret's leases.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Search every model for a broken promise, and every broken model until one is found.
    Check {
        /// One step of time more, and as many states as `--states` says.
        #[arg(long)]
        long: bool,
        /// Only models whose name contains this.
        #[arg(long, default_value = "")]
        only: String,
        /// Most states of one search: each needs about 20 bytes.
        #[arg(long, default_value_t = 1_500_000)]
        states: usize,
        /// Tries steps in an order of its own (a search that ends at its limit sees other states).
        #[arg(long, default_value_t = 0)]
        shuffle: u64,
        /// Prints the chain of steps of every mistake.
        #[arg(long)]
        traces: bool,
    },
    /// Power off the holder again and again, and print how long nobody held the address.
    Failover {
        /// How often.
        #[arg(long, default_value_t = 1000)]
        runs: u64,
        /// T in milliseconds.
        #[arg(long, default_value_t = 450)]
        lease: u64,
        /// Lost datagrams in a thousand.
        #[arg(long, default_value_t = 0)]
        loss: u64,
        /// 1, 3 or 5.
        #[arg(long, default_value_t = 3)]
        voters: usize,
    },
    /// Let everything run at rest, with stalls and loss, and count takeovers.
    Rest {
        /// Simulated hours.
        #[arg(long, default_value_t = 1)]
        hours: u64,
        /// T in milliseconds.
        #[arg(long, default_value_t = 450)]
        lease: u64,
        /// Lost datagrams in a thousand.
        #[arg(long, default_value_t = 50)]
        loss: u64,
        /// Stalls of each node in an hour, of 50 ms and more.
        #[arg(long, default_value_t = 60)]
        stalls: u64,
        /// The longest, in milliseconds.
        #[arg(long, default_value_t = 350)]
        longest_stall: u64,
        /// 1, 3 or 5.
        #[arg(long, default_value_t = 3)]
        voters: usize,
    },
    /// Count false takeovers in a cloud with T = 1 s and T = 2 s, which decides its default.
    CloudLeases {
        /// Simulated hours.
        #[arg(long, default_value_t = 48)]
        hours: u64,
        /// Stalls of each node in an hour, of 0.1 to 1.5 s.
        #[arg(long, default_value_t = 1)]
        stalls: u64,
    },
    /// What a voter takes for the renewals of all holders: datagram by datagram, and together.
    Cost {
        /// How many addresses are held in the cluster.
        #[arg(long, default_value_t = 200)]
        addresses: usize,
        /// How often it is measured.
        #[arg(long, default_value_t = 11)]
        runs: usize,
    },
    /// Random faults, then calm, from many seeds: never two holders, and always one again.
    Disorder {
        /// How many seeds.
        #[arg(long, default_value_t = 1000)]
        seeds: u64,
        /// The first.
        #[arg(long, default_value_t = 0)]
        first: u64,
    },
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Check { long, only, states, shuffle, traces } => {
            let limits = SearchLimits { states, depth: usize::MAX, shuffle };
            check(long, &only, limits, traces)
        }
        Command::Failover { runs, lease, loss, voters } => failover(runs, lease, loss, voters),
        Command::Rest { hours, lease, loss, stalls, longest_stall, voters } => {
            let setup = Setup { lease, loss, stalls, longest_stall, voters, ..Setup::default() };
            rest(hours, setup)
        }
        Command::CloudLeases { hours, stalls } => cloud_leases(hours, stalls),
        Command::Cost { addresses, runs } => cost(addresses, runs),
        Command::Disorder { seeds, first } => disorder(first, seeds),
    }
}

fn check(long: bool, only: &str, limits: SearchLimits, traces: bool) -> anyhow::Result<()> {
    let mut wrong = if "ends".contains(only) { check_ends(limits, traces) } else { 0 };
    for sound in catalogue::SOUND {
        let horizon = if long { sound.long } else { sound.short };
        let model = (sound.make)(&BrokenRules::default(), horizon);
        if model.name.contains(only) {
            let outcome = timed(&model, "as it is meant", |model| search(model, limits));
            wrong += u32::from(outcome.violation.is_some());
            print_trace(&outcome);
        }
    }
    for Refused { what, make, broken, horizon, depth } in catalogue::refused() {
        let model = make(&broken, horizon);
        if model.name.contains(only) || what.contains(only) {
            let limits = SearchLimits { depth, ..limits };
            let outcome = timed(&model, what, |model| search(model, limits));
            wrong += u32::from(outcome.violation.is_none());
            if traces {
                print_trace(&outcome);
            }
        }
    }
    if wrong > 0 {
        bail!("{wrong} searches did not end as they must");
    }
    Ok(())
}

/// The model of ends, as it is meant and with its mistake; how many did not end as they must.
fn check_ends(limits: SearchLimits, traces: bool) -> u32 {
    let found = search(&Ends::broken(), SearchLimits { depth: ends::DEPTH, ..limits });
    let sound = search(&Ends::sound(2), limits);
    println!("ends: {} states, {} steps", sound.states, sound.transitions);
    print_trace(&sound);
    if traces {
        print_trace(&found);
    }
    u32::from(sound.violation.is_some()) + u32::from(found.violation.is_none())
}

type Found = SearchOutcome<egret_model::scenario::ModelStep>;

fn timed(model: &ModelScenario, what: &str, search: impl FnOnce(&ModelScenario) -> Found) -> Found {
    let begin = Instant::now();
    let outcome = search(model);
    let end = match (&outcome.violation, outcome.complete) {
        (Some((broken, path)), _) => format!("{broken} after {} steps", path.len()),
        (None, true) => "all states, nothing found".to_owned(),
        (None, false) => "nothing found up to the limit".to_owned(),
    };
    println!(
        "{:16} {what:30} horizon {}: {} states, {} steps, {:.1} s: {end}",
        model.name,
        model.horizon,
        outcome.states,
        outcome.transitions,
        begin.elapsed().as_secs_f32()
    );
    outcome
}

fn print_trace<A: std::fmt::Debug>(outcome: &SearchOutcome<A>) {
    for action in outcome.violation.iter().flat_map(|(_, path)| path) {
        println!("    {action:?}");
    }
}

fn failover(runs: u64, lease: u64, loss: u64, voters: usize) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for seed in 0..runs {
        let setup = Setup { seed, lease, loss, voters, ..Setup::default() };
        let Some(time) = simulation::failover(setup) else {
            bail!("seed {seed}: nobody took over within 10 s");
        };
        times.push(time);
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100] as f64 / MS as f64;
    println!(
        "{runs} power-offs, T {lease} ms, loss {loss} ‰, {voters} voters: \
         from death to the next holder p50 {:.0} ms, p90 {:.0}, p99 {:.0}, longest {:.0}",
        at(50),
        at(90),
        at(99),
        at(100)
    );
    Ok(())
}

fn rest(hours: u64, setup: Setup) -> anyhow::Result<()> {
    let begin = Instant::now();
    let rest = simulation::rest(setup, hours * 3600).map_err(anyhow::Error::msg)?;
    println!(
        "{hours} h at rest: {} takeovers, {} leases lost; {:.0} datagrams/s; {:.0} s",
        rest.takeovers,
        rest.lost,
        rest.datagrams,
        begin.elapsed().as_secs_f32()
    );
    Ok(())
}

/// Side by side: the two lengths are compared under the same disorder.
fn cloud_leases(hours: u64, stalls: u64) -> anyhow::Result<()> {
    let run = |lease: u64| simulation::rest(simulation::cloud_stalls(lease, stalls), hours * 3600);
    println!(
        "{hours} h of one address in a cloud, 5 nodes, 3 voters; stalls of 0.1 to 1.5 s, {stalls} an \
         hour on each node; 5 % loss"
    );
    let both = std::thread::scope(|scope| {
        let threads = [1000, 2000].map(|lease| (lease, scope.spawn(move || run(lease))));
        threads.map(|(lease, thread)| (lease, thread.join()))
    });
    let mut takeovers = Vec::new();
    for (lease, rest) in both {
        let Ok(rest) = rest else { bail!("the simulation of T = {lease} ms panicked") };
        let rest = rest.map_err(anyhow::Error::msg)?;
        println!(
            "T = {lease} ms: {} false takeovers ({:.1} a day), {} leases lost, {:.0} datagrams/s",
            rest.takeovers,
            rest.takeovers as f64 * 24.0 / hours as f64,
            rest.lost,
            rest.datagrams
        );
        takeovers.push(rest.takeovers);
    }
    let more = takeovers.first() > takeovers.last();
    println!(
        "{}; what one costs is measured by the rows aws_slow_* (docs/operations.md, \"How fast an address moves in EC2\")",
        if more { "the default stays at 2 s" } else { "1 s costs no more takeovers than 2 s" }
    );
    Ok(())
}

fn cost(addresses: usize, runs: usize) -> anyhow::Result<()> {
    let all: Option<Vec<simulation::Cost>> =
        (0..runs.max(1)).map(|_| simulation::cost(addresses)).collect();
    let Some(all) = all else { bail!("not every address was held") };
    let median = |of: fn(&simulation::Cost) -> Duration| {
        let mut times: Vec<Duration> = all.iter().map(of).collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (alone, together) = (median(|cost| cost.one_by_one), median(|cost| cost.together));
    println!(
        "{addresses} addresses, {} datagrams a renewal, {} bytes kept a turn: one by one {alone:?}, \
         together {together:?} ({:.1} times)",
        all[0].datagrams,
        all[0].kept,
        alone.as_secs_f64() / together.as_secs_f64()
    );
    Ok(())
}

fn disorder(first: u64, seeds: u64) -> anyhow::Result<()> {
    let mut waits = Vec::new();
    for seed in first..first + seeds {
        match simulation::disorder(seed, Default::default()) {
            Ok(wait) => waits.push(wait),
            Err(what) => bail!("seed {seed}: {what}"),
        }
    }
    waits.sort_unstable();
    let longest = waits.last().copied().unwrap_or(0);
    println!(
        "{seeds} seeds: one holder at most; all held again {} ms after the last fault at the latest",
        longest / MS
    );
    Ok(())
}
