//! Runs rows of scenarios, with the laboratory that they share, for test programs of their own.
//!
//! State: the laboratory that rows share, made at the first row that wants it, and again after a
//! row that has failed or had one of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use crate::clock::Stamp;
use crate::ground::Ground;
use crate::lab::Lab;
use crate::stage::Stage;
use anyhow::{Result, anyhow};

/// One row.
#[derive(Debug)]
pub struct Row<G = Lab> {
    /// What the command line calls it.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&mut Bench<G>) -> Result<()>,
}

/// Where rows take place.
#[derive(Debug)]
pub struct Setting<G = Lab> {
    /// Makes the laboratory that rows share.
    pub make: fn() -> Result<Stage<G>>,
    /// Removes what killed processes have left.
    pub cleanup: fn() -> Result<Vec<String>>,
    /// Removes what this process has made, on its way out on a signal.
    pub cleanup_own: fn(),
}

/// What rows share.
#[derive(Debug)]
pub struct Bench<G = Lab> {
    make: fn() -> Result<Stage<G>>,
    shared: Option<Stage<G>>,
    /// The laboratory is the present row's alone.
    alone: bool,
}

/// Runs the rows that the command line names; prints one line each.
#[must_use]
pub fn main<G: Ground>(all: &[Row<G>], setting: &Setting<G>) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen =
        |row: &&Row<G>| filters.is_empty() || filters.iter().any(|f| row.name.contains(*f));
    let rows: Vec<&Row<G>> = all.iter().filter(chosen).collect();
    if words.iter().any(|word| word == "--list") {
        for row in rows {
            println!("{}: test", row.name);
        }
        return ExitCode::SUCCESS;
    }
    crate::on_signal(setting.cleanup_own);
    if let Err(error) = (setting.cleanup)() {
        eprintln!("cleaning up after dead laboratories: {error:#}");
    }
    println!("\nrunning {} rows", rows.len());
    let mut bench = Bench { make: setting.make, shared: None, alone: false };
    let (begun, mut failed) = (Instant::now(), Vec::new());
    for row in &rows {
        let (start, outcome) = (Instant::now(), run(row, &mut bench));
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                println!("row {} ... ok ({seconds:.1} s)", row.name);
                if std::mem::take(&mut bench.alone) {
                    bench.shared = None;
                }
            }
            Err(error) => {
                println!("row {} ... FAILED ({seconds:.1} s)\n    {error:#}", row.name);
                bench.alone = false;
                if let Some(stage) = bench.shared.take() {
                    explain(&stage.lab);
                }
                failed.push((row.name, format!("{error:#}")));
            }
        }
    }
    drop(bench);
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    let (good, bad) = (rows.len() - failed.len(), failed.len());
    let seconds = begun.elapsed().as_secs_f64();
    println!("\nresult: {word}. {good} passed; {bad} failed; {seconds:.1} s");
    for (name, error) in &failed {
        println!("    {name}: {error}");
    }
    println!();
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A machine that did not schedule a lease thread for this long may lose its leases: rows that say
/// that nothing moves are then no judgement (they run again).
const STALL_MS: f64 = 350.0;
/// How often a row runs at most.
const TRIES: u32 = 3;

fn run<G: Ground>(row: &Row<G>, bench: &mut Bench<G>) -> Result<()> {
    for number in 1.. {
        let begun = Stamp::now();
        let outcome = once(row, bench);
        let stalls =
            bench.shared.as_ref().map_or(Vec::new(), |stage| stage.stalls(begun, STALL_MS));
        let Err(error) = outcome else { return Ok(()) };
        if stalls.is_empty() || number == TRIES {
            return Err(error);
        }
        println!("    {}: again, since this machine stalled ({}): {error:#}", row.name, stalls[0]);
        bench.alone = false;
        bench.shared = None;
    }
    Ok(())
}

fn once<G>(row: &Row<G>, bench: &mut Bench<G>) -> Result<()> {
    match catch_unwind(AssertUnwindSafe(|| (row.run)(bench))) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(anyhow!("panicked: {}", text.unwrap_or("no message")))
        }
    }
}

/// The last words of every process and node, for a row that failed. Where EGRET_LAB_KEEP names a
/// directory, logs and store are copied there.
pub fn explain(lab: &impl Ground) {
    if let Some(kept) = lab.keep() {
        println!("    kept in {}", kept.display());
    }
    for line in lab.diagnose() {
        println!("    {line}");
    }
    for entry in lab.journal().noise().iter().rev().take(10) {
        println!("    {entry}");
    }
    let entries = lab.journal().entries(Stamp(0));
    for entry in entries.iter().rev().take(40).rev() {
        let fields: Vec<String> =
            entry.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let (at, from, event) = (entry.at, &entry.from, &entry.event);
        println!("    {at} {from} {} {event} {}", entry.level, fields.join(" "));
    }
}

impl<G> Bench<G> {
    /// A laboratory for one row alone.
    pub fn own(&mut self, stage: Stage<G>) -> &mut Stage<G> {
        self.alone = true;
        self.shared.insert(stage)
    }

    /// The present row leaves the laboratory as it did not find it: the next one gets another.
    pub fn spoil(&mut self) {
        self.alone = true;
    }

    /// The shared laboratory; built at the first call and after a failure.
    ///
    /// # Errors
    /// Where it cannot be built.
    pub fn stage(&mut self) -> Result<&mut Stage<G>> {
        if self.shared.is_none() {
            self.shared = Some((self.make)()?);
        }
        self.shared.as_mut().ok_or_else(|| anyhow!("no laboratory"))
    }
}
