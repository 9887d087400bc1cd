//! Runs scenarios, with the laboratories that they share, for test programs of their own.
//!
//! Scenarios that want to be alone run first, one after another; the others run side by side in lanes, a
//! thread each.
//!
//! State: each lane's laboratory, made at its first scenario that shares it, and again after a scenario that
//! has failed or had one of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock::WallTime;
use crate::fixture::LabFixture;
use crate::lab::Lab;
use crate::test_bed::TestBed;
use anyhow::{Result, anyhow};

mod host_stall;
mod note;
mod plan;
mod record;

pub use note::note;
use plan::{BenchOptions, Needs, Queue};
use record::FinishedScenario;

/// The laboratory of [`Bench::fixture`].
const USUAL: &str = "usual";

/// One scenario.
#[derive(Debug)]
pub struct Scenario<G = Lab> {
    name: &'static str,
    run: fn(&mut Bench<G>) -> Result<()>,
    needs: Needs,
}

impl<G> Scenario<G> {
    /// A scenario that judges a time or a rate, or stops what others share: nothing runs beside it.
    #[must_use]
    pub const fn alone(name: &'static str, run: fn(&mut Bench<G>) -> Result<()>) -> Self {
        let needs = Needs { alone: true, shared: Some(USUAL), seconds: 10 };
        Self { name, run, needs }
    }

    /// A scenario that waits with patience for what happens in its laboratory, or counts what must not:
    /// it may run beside others.
    #[must_use]
    pub const fn beside(name: &'static str, run: fn(&mut Bench<G>) -> Result<()>) -> Self {
        let needs = Needs { alone: false, shared: Some(USUAL), seconds: 10 };
        Self { name, run, needs }
    }

    /// The same with a laboratory of its own ([`Bench::own`], or none of the bench's at all).
    #[must_use]
    pub const fn own(mut self) -> Self {
        self.needs.shared = None;
        self
    }

    /// The same with another shared laboratory, the one that it calls [`Bench::shared`] with.
    #[must_use]
    pub const fn shares(mut self, laboratory: &'static str) -> Self {
        self.needs.shared = Some(laboratory);
        self
    }

    /// The same where it runs about so many seconds instead of ten: what takes long begins early.
    #[must_use]
    pub const fn takes(mut self, seconds: u32) -> Self {
        self.needs.seconds = seconds;
        self
    }
}

/// Where scenarios take place.
#[derive(Debug)]
pub struct Setting<G = Lab> {
    /// What the file of times calls these scenarios: the environment variable `EGRET_TIMES` names it.
    pub part: &'static str,
    /// How many scenarios run side by side, where neither `--lanes` nor the environment variable
    /// `EGRET_LANES` says it. One runs all scenarios in the order of the table.
    pub lanes: usize,
    /// Makes the laboratory that scenarios share.
    pub make: fn() -> Result<LabFixture<G>>,
    /// Removes what killed processes have left.
    pub cleanup: fn() -> Result<Vec<String>>,
    /// Removes what this process has made, on its way out on a signal.
    pub cleanup_own: fn(),
}

/// What the scenarios of a lane share.
#[derive(Debug)]
pub struct Bench<G = Lab> {
    make: fn() -> Result<LabFixture<G>>,
    shared: Option<LabFixture<G>>,
    /// Which of the shared laboratories it is.
    name: Option<&'static str>,
    /// The laboratory is the present scenario's alone.
    alone: bool,
}

/// Runs the scenarios that the command line names; prints one line each.
#[must_use]
pub fn main<G: TestBed>(all: &[Scenario<G>], setting: &Setting<G>) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let lanes = std::env::var("EGRET_LANES").ok();
    let options = match BenchOptions::parse(&words, lanes.as_deref(), setting.lanes) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let scenarios: Vec<&Scenario<G>> =
        all.iter().filter(|scenario| options.wants(scenario.name)).collect();
    if options.list {
        for scenario in scenarios {
            println!("{}: test", scenario.name);
        }
        return ExitCode::SUCCESS;
    }
    crate::on_signal(setting.cleanup_own);
    if let Err(error) = (setting.cleanup)() {
        eprintln!("cleaning up after dead laboratories: {error:#}");
    }
    let begun = Instant::now();
    let done = run_all(&scenarios, setting, options.lanes);
    println!("{}", record::summary(&done, begun.elapsed().as_secs_f64()));
    let good = done.iter().all(|scenario| scenario.error.is_none());
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What all lanes share.
struct Lanes<'a, G> {
    scenarios: &'a [&'a Scenario<G>],
    setting: &'a Setting<G>,
    queue: Mutex<Queue>,
    /// Those that failed beside others, with their places in `scenarios`: no judgement yet.
    failed: Mutex<Vec<(usize, FinishedScenario)>>,
    done: Mutex<Vec<FinishedScenario>>,
}

fn run_all<G: TestBed>(
    scenarios: &[&Scenario<G>],
    setting: &Setting<G>,
    lanes: usize,
) -> Vec<FinishedScenario> {
    let needs: Vec<Needs> = scenarios.iter().map(|scenario| scenario.needs).collect();
    let first = plan::one_by_one(&needs, lanes);
    let queue = Queue::new(&needs, lanes);
    let beside = match scenarios.len() - first.len() {
        0 => String::new(),
        count => format!(", {count} of them in {lanes} lanes"),
    };
    println!("\nrunning {} scenarios{beside}", scenarios.len());
    let (queue, failed, done) = (Mutex::new(queue), Mutex::default(), Mutex::default());
    let shared = Lanes { scenarios, setting, queue, failed, done };
    let mut bench = Bench::new(setting.make);
    for at in first {
        shared.run(at, &mut bench, false);
    }
    if !lock(&shared.queue).is_empty() {
        note::keep_panics();
        std::thread::scope(|scope| {
            for lane in 1..lanes {
                let shared = &shared;
                scope.spawn(move || shared.work(lane, Bench::new(setting.make)));
            }
            shared.work(0, bench);
        });
        shared.judge_alone();
    }
    shared.done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl<G: TestBed> Lanes<'_, G> {
    /// A lane: runs scenarios until none is left for it. An idle laboratory would take the others' time,
    /// so it ends with the lane.
    fn work(&self, lane: usize, mut bench: Bench<G>) {
        note::keep();
        loop {
            let next = lock(&self.queue).take(lane, bench.name);
            let Some(at) = next else { return };
            self.run(at, &mut bench, true);
        }
    }

    /// Runs again, alone, what failed beside others: where it fails once more it has failed. One that passes
    /// each time rests on a quiet machine; the table at the end names it, since it wants mending.
    fn judge_alone(&self) {
        let failed = std::mem::take(&mut *lock(&self.failed));
        let few = failed.len() <= ALONE_SCENARIOS;
        for (at, mut done) in failed {
            if few {
                self.try_alone(at, &mut done);
            }
            done.tell();
            done.write(self.setting.part);
            print!("{}", note::kept());
            lock(&self.done).push(done);
        }
    }

    fn try_alone(&self, at: usize, done: &mut FinishedScenario) {
        let Some(error) = done.error.take() else { return };
        let mut why = format!("failed beside others: {error}");
        for _ in 0..ALONE {
            done.again.push(std::mem::replace(&mut why, "passed alone".to_owned()));
            let mut bench = Bench::new(self.setting.make);
            let alone = run(self.scenarios[at], &mut bench);
            done.seconds += alone.seconds;
            done.error = alone.error;
            if done.error.is_some() {
                return;
            }
        }
    }

    /// `beside`: other lanes run too.
    fn run(&self, at: usize, bench: &mut Bench<G>, beside: bool) {
        let scenario = self.scenarios[at];
        if scenario.needs.shared != bench.name {
            bench.clear();
        }
        let done = run(scenario, bench);
        let postponed = beside && done.error.is_some();
        done.tell();
        if !postponed {
            done.write(self.setting.part);
        }
        if let (Some(_), Some(fixture)) = (&done.error, &bench.shared) {
            explain(&fixture.lab);
        }
        // In one call, which no other lane's comes between.
        print!("{}", note::kept());
        if done.error.is_some() || bench.alone {
            bench.clear();
        }
        match postponed {
            true => lock(&self.failed).push((at, done)),
            false => lock(&self.done).push(done),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A machine that did not schedule a lease thread for this long may lose its leases, and one that did not
/// schedule an ordinary thread keeps no limit: scenarios are then no judgement (they run again).
const STALL_MS: f64 = 350.0;
/// How often a scenario runs at most.
const TRIES: usize = 3;
/// How often one that failed beside others has to pass alone.
const ALONE: usize = 3;
/// More than these at once are no accident of one scenario: they have failed.
const ALONE_SCENARIOS: usize = 3;

/// Runs a scenario, and again where it failed and the machine stalled.
fn run<G: TestBed>(scenario: &Scenario<G>, bench: &mut Bench<G>) -> FinishedScenario {
    let start = Instant::now();
    let mut done = FinishedScenario { name: scenario.name, ..FinishedScenario::default() };
    loop {
        let begun = WallTime::now();
        host_stall::longest(begun);
        let outcome = once(scenario, bench);
        let of_agents = bench.shared.as_ref().and_then(|fixture| fixture.stall(begun));
        let of_host = host_stall::longest(begun).map(|millis| (millis, "the host".to_owned()));
        let stall = of_agents.into_iter().chain(of_host).max_by(|a, b| a.0.total_cmp(&b.0));
        done.stall = stall.filter(|(millis, _)| *millis > STALL_MS);
        done.seconds = start.elapsed().as_secs_f64();
        let Err(error) = outcome else { return done };
        let error = format!("{error:#}");
        let Some((millis, from)) = done.stall.as_ref().filter(|_| done.tries() < TRIES) else {
            done.error = Some(error);
            return done;
        };
        let why = format!("this machine stalled ({from}: {millis} ms): {error}");
        crate::note!("    {}: again, since {why}", scenario.name);
        done.again.push(why);
        bench.clear();
    }
}

fn once<G>(scenario: &Scenario<G>, bench: &mut Bench<G>) -> Result<()> {
    match catch_unwind(AssertUnwindSafe(|| (scenario.run)(bench))) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(anyhow!("panicked: {}", text.unwrap_or("no message")))
        }
    }
}

/// The last words of every process and node, for a scenario that failed. Where EGRET_LAB_KEEP names a
/// directory, logs and store are copied there.
pub fn explain(lab: &impl TestBed) {
    if let Some(kept) = lab.keep() {
        crate::note!("    kept in {}", kept.display());
    }
    for line in lab.diagnose() {
        crate::note!("    {line}");
    }
    for entry in lab.journal().noise().iter().rev().take(10) {
        crate::note!("    {entry}");
    }
    let entries = lab.journal().entries(WallTime(0));
    for entry in entries.iter().rev().take(40).rev() {
        let fields: Vec<String> =
            entry.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let (at, from, event) = (entry.at, &entry.from, &entry.event);
        crate::note!("    {at} {from} {} {event} {}", entry.level, fields.join(" "));
    }
}

impl<G> Bench<G> {
    fn new(make: fn() -> Result<LabFixture<G>>) -> Self {
        Self { make, shared: None, name: None, alone: false }
    }

    /// Removes the laboratory.
    fn clear(&mut self) {
        self.shared = None;
        self.name = None;
        self.alone = false;
    }

    /// A laboratory for one scenario alone.
    pub fn own(&mut self, fixture: LabFixture<G>) -> &mut LabFixture<G> {
        self.alone = true;
        self.shared.insert(fixture)
    }

    /// The present scenario leaves the laboratory as it did not find it: the next one gets another.
    pub fn spoil(&mut self) {
        self.alone = true;
    }

    /// The shared laboratory; built at the first call and after a failure.
    ///
    /// # Errors
    /// Where it cannot be built.
    pub fn fixture(&mut self) -> Result<&mut LabFixture<G>> {
        self.shared(USUAL, self.make)
    }

    /// The shared laboratory of that name, the same.
    ///
    /// # Errors
    /// Where it cannot be built.
    pub fn shared(
        &mut self,
        name: &'static str,
        make: impl FnOnce() -> Result<LabFixture<G>>,
    ) -> Result<&mut LabFixture<G>> {
        if self.name != Some(name) {
            self.clear();
        }
        if self.shared.is_none() {
            self.shared = Some(make()?);
            self.name = Some(name);
        }
        self.shared.as_mut().ok_or_else(|| anyhow!("no laboratory"))
    }
}
