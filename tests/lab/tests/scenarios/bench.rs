//! Runs rows, with the laboratory that they share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, anyhow};
use egret_lab::{Lab, Stage};

/// One row: a name and what it does.
pub struct Row {
    pub name: &'static str,
    pub run: fn(&mut Bench) -> Result<()>,
}

/// What rows share.
#[derive(Default)]
pub struct Bench {
    pub shared: Option<Stage>,
    /// The laboratory is the present row's alone.
    alone: bool,
}

/// Runs the rows that the command line names; prints one line each.
pub fn main(all: &[Row]) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen = |row: &&Row| filters.is_empty() || filters.iter().any(|f| row.name.contains(*f));
    let rows: Vec<&Row> = all.iter().filter(chosen).collect();
    if words.iter().any(|word| word == "--list") {
        for row in rows {
            println!("{}: test", row.name);
        }
        return ExitCode::SUCCESS;
    }
    egret_lab::end_on_signal();
    if let Err(error) = egret_lab::cleanup() {
        eprintln!("cleaning up after dead laboratories: {error:#}");
    }
    println!("\nrunning {} rows", rows.len());
    let (mut bench, begun, mut failed) = (Bench::default(), Instant::now(), Vec::new());
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
                failed.push(row.name);
            }
        }
    }
    drop(bench);
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    let (good, bad) = (rows.len() - failed.len(), failed.len());
    let seconds = begun.elapsed().as_secs_f64();
    println!("\nresult: {word}. {good} passed; {bad} failed {failed:?}; {seconds:.1} s\n");
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A machine that did not schedule a lease thread for this long may lose its leases: rows that say
/// that nothing moves are then no judgement (they run again).
const STALL_MS: f64 = 350.0;
/// How often a row runs at most.
const TRIES: u32 = 3;

fn run(row: &Row, bench: &mut Bench) -> Result<()> {
    for number in 1.. {
        let begun = egret_lab::Stamp::now();
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

fn once(row: &Row, bench: &mut Bench) -> Result<()> {
    match catch_unwind(AssertUnwindSafe(|| (row.run)(bench))) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(anyhow!("panicked: {}", text.unwrap_or("no message")))
        }
    }
}

/// What the kernel of every node has dropped, by name.
fn drops(lab: &Lab) {
    let Ok(egret) = lab.egret() else { return };
    for node in lab.nodes().iter().filter(|node| node.is_on()) {
        let said = node.output(&format!("{} explain --live", egret.display()));
        let text = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        for line in text.unwrap_or_default().lines().take(20) {
            println!("    {} {line}", node.name);
        }
    }
}

/// The last words of every process, for a row that failed. Where EGRET_LAB_KEEP names a directory,
/// logs and store are copied there.
pub fn explain(lab: &Lab) {
    if let Some(keep) = std::env::var_os("EGRET_LAB_KEEP") {
        let copied = std::process::Command::new("cp").arg("-r").arg(lab.dir()).arg(&keep).status();
        println!("    kept in {}: {copied:?}", keep.display());
    }
    drops(lab);
    for entry in lab.journal().noise().iter().rev().take(10) {
        println!("    {entry}");
    }
    let entries = lab.journal().entries(egret_lab::Stamp(0));
    for entry in entries.iter().rev().take(40).rev() {
        let fields: Vec<String> =
            entry.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let (at, from, event) = (entry.at, &entry.from, &entry.event);
        println!("    {at} {from} {} {event} {}", entry.level, fields.join(" "));
    }
}

impl Bench {
    /// A laboratory for one row alone.
    pub fn own(&mut self, stage: Stage) -> &mut Stage {
        self.alone = true;
        self.shared.insert(stage)
    }

    /// The shared laboratory with the claim held; built at the first call and after a failure.
    pub fn stage(&mut self) -> Result<&mut Stage> {
        if self.shared.is_none() {
            self.shared = Some(crate::world::with_claim(crate::world::usual().build()?)?);
        }
        self.shared.as_mut().ok_or_else(|| anyhow!("no laboratory"))
    }
}
