//! What became of every scenario: a line at its end, a line in the file of times, a table at the end.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;

/// Names a file to which a line is appended for every scenario: part, scenario, seconds, tries, outcome,
/// why it failed, separated by tabs.
const TIMES: &str = "EGRET_TIMES";
/// How many scenarios the table at the end has.
const LONGEST: usize = 10;

/// A scenario that has run.
#[derive(Clone, Debug, Default)]
pub(super) struct FinishedScenario {
    pub name: &'static str,
    /// All tries together.
    pub seconds: f64,
    /// Why it failed.
    pub error: Option<String>,
    /// Why it ran again, each time.
    pub again: Vec<String>,
    /// The lease thread that waited longest for the machine, where that was too long: for how many
    /// milliseconds, and whose.
    pub stall: Option<(f64, String)>,
}

impl FinishedScenario {
    /// How often it has run.
    pub(super) fn tries(&self) -> usize {
        self.again.len() + 1
    }

    /// Says how it ended.
    pub(super) fn tell(&self) {
        let (name, seconds) = (self.name, self.seconds);
        match &self.error {
            None => crate::note!("scenario {name} ... ok ({seconds:.1} s)"),
            Some(error) => crate::note!("scenario {name} ... FAILED ({seconds:.1} s)\n    {error}"),
        }
    }

    /// Appends its line to the file of times, where there is one.
    pub(super) fn write(&self, part: &str) {
        let Some(file) = std::env::var_os(TIMES) else { return };
        let line = self.line(part);
        let open = OpenOptions::new().create(true).append(true).open(&file);
        if let Err(error) = open.and_then(|mut file| file.write_all(line.as_bytes())) {
            eprintln!("{TIMES}={}: {error}", file.display());
        }
    }

    fn line(&self, part: &str) -> String {
        let outcome = if self.error.is_none() { "ok" } else { "FAILED" };
        let why = self.error.as_ref().or(self.again.first()).map_or("", String::as_str);
        let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{part}\t{}\t{:.1}\t{}\t{outcome}\t{why}\n", self.name, self.seconds, self.tries())
    }
}

/// What all scenarios took, what failed, the longest, and what ran more than once.
pub(super) fn summary(all: &[FinishedScenario], seconds: f64) -> String {
    let failed: Vec<_> =
        all.iter().filter_map(|scenario| Some((scenario.name, scenario.error.as_ref()?))).collect();
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    let (good, bad) = (all.len() - failed.len(), failed.len());
    let mut text = format!("\nresult: {word}. {good} passed; {bad} failed; {seconds:.1} s\n");
    for (name, error) in failed {
        let _ = writeln!(text, "    {name}: {error}");
    }
    let mut longest: Vec<&FinishedScenario> = all.iter().collect();
    longest.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    if !longest.is_empty() {
        text += "the longest scenarios:\n";
    }
    for scenario in longest.into_iter().take(LONGEST) {
        let _ = writeln!(text, "    {:>6.1} s  {}", scenario.seconds, scenario.name);
    }
    let stalled: Vec<_> =
        all.iter().filter_map(|scenario| Some((scenario.name, scenario.stall.as_ref()?))).collect();
    if !stalled.is_empty() {
        text += "scenarios in which a lease thread waited long, because it was told to or for this machine:\n";
    }
    for (name, (millis, from)) in stalled {
        let _ = writeln!(text, "    {name}: {millis} ms of {from}");
    }
    let mut again: Vec<&FinishedScenario> =
        all.iter().filter(|scenario| !scenario.again.is_empty()).collect();
    again.sort_by_key(|scenario| scenario.name);
    if !again.is_empty() {
        text += "scenarios that ran more than once:\n";
    }
    for scenario in again {
        let _ = writeln!(
            text,
            "    {}: {} times: {}",
            scenario.name,
            scenario.tries(),
            scenario.again.join("; ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(name: &'static str, seconds: f64) -> FinishedScenario {
        FinishedScenario { name, seconds, ..FinishedScenario::default() }
    }

    #[test]
    fn a_line_of_times_has_six_fields() {
        let mut scenario = done("s01_x", 12.34);
        assert_eq!(scenario.line("laboratory"), "laboratory\ts01_x\t12.3\t1\tok\t\n");
        scenario.again.push("a stall".to_owned());
        assert_eq!(scenario.line("laboratory"), "laboratory\ts01_x\t12.3\t2\tok\ta stall\n");
        scenario.error = Some("no holder:\n\tthree asked".to_owned());
        let line = "cluster\ts01_x\t12.3\t2\tFAILED\tno holder: three asked\n";
        assert_eq!(scenario.line("cluster"), line);
    }

    #[test]
    fn the_table_has_the_longest_first_and_says_why_a_row_ran_again() {
        let mut all = vec![done("short", 1.0), done("long", 70.0)];
        all[0].again.push("this machine stalled (gateway-1: 400 ms): moved".to_owned());
        let text = summary(&all, 71.0);
        assert!(text.contains("result: ok. 2 passed; 0 failed; 71.0 s"), "{text}");
        assert!(text.find("70.0 s  long") < text.find("1.0 s  short"), "{text}");
        assert!(text.contains("short: 2 times: this machine stalled (gateway-1"), "{text}");
        all[1].stall = Some((5012.0, "gateway-2".to_owned()));
        assert!(summary(&all, 71.0).contains("    long: 5012 ms of gateway-2\n"));
        all[1].error = Some("lost".to_owned());
        let text = summary(&all, 71.0);
        assert!(text.contains("result: FAILED. 1 passed; 1 failed"), "{text}");
        assert!(text.contains("    long: lost\n"), "{text}");
    }

    #[test]
    fn nothing_chosen_is_no_table() {
        assert_eq!(summary(&[], 0.0), "\nresult: ok. 0 passed; 0 failed; 0.0 s\n");
    }
}
