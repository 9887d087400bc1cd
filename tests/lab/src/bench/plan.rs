//! Which scenarios run, in how many lanes, and in which order. Values only.

use anyhow::{Context, Result, ensure};

/// What a scenario needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// Nothing else may run meanwhile.
    pub alone: bool,
    /// The laboratory that it shares with other scenarios; `None` where it makes one of its own.
    pub shared: Option<&'static str>,
    /// About how long it runs, in seconds: decides only the order.
    pub seconds: u32,
}

/// About what it costs to boot a laboratory that another lane has already, in seconds.
const BOOT: u32 = 15;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BenchOptions {
    filters: Vec<String>,
    /// Only name the scenarios.
    pub list: bool,
    /// How many scenarios run side by side at most.
    pub lanes: usize,
}

impl BenchOptions {
    /// `words` are the arguments; `lanes` is the number that the environment asks for, where it
    /// does. What begins with a dash and means nothing here is for other test programs.
    pub(super) fn parse(words: &[String], lanes: Option<&str>, default: usize) -> Result<Self> {
        let mut options = Self { filters: Vec::new(), list: false, lanes: default };
        if let Some(text) = lanes {
            options.lanes = count("EGRET_LANES", text)?;
        }
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.split_once('=') {
                Some(("--lanes", text)) => options.lanes = count("--lanes", text)?,
                _ if word == "--lanes" => {
                    let text = words.next().context("--lanes needs a number")?;
                    options.lanes = count("--lanes", text)?;
                }
                _ if word == "--list" => options.list = true,
                _ if word.starts_with('-') => {}
                _ => options.filters.push(word.clone()),
            }
        }
        Ok(options)
    }

    /// Whether the scenario of that name is asked for.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter.as_str()))
    }
}

fn count(what: &str, text: &str) -> Result<usize> {
    let count = text.parse().with_context(|| format!("{what}: {text} is no number"))?;
    ensure!(count > 0, "{what}: at least one scenario has to run at a time");
    Ok(count)
}

/// The scenarios that run before all others, one after another: in one lane all of them, in the order of
/// the table; else those that want to be alone, and what shares a laboratory last, since the first
/// lane goes on with it.
pub(super) fn one_by_one(scenarios: &[Needs], lanes: usize) -> Vec<usize> {
    if lanes == 1 {
        return (0..scenarios.len()).collect();
    }
    let mut first: Vec<usize> = (0..scenarios.len()).filter(|at| scenarios[*at].alone).collect();
    first.sort_by_key(|at| scenarios[*at].shared);
    first
}

/// The scenarios that run side by side and have not begun.
#[derive(Debug)]
pub(super) struct Queue {
    /// By their place in the table.
    waiting: Vec<(usize, Needs)>,
    /// The shared laboratory that each lane has.
    held: Vec<Option<&'static str>>,
}

impl Queue {
    /// The scenarios of the table that want no solitude, for so many lanes.
    pub(super) fn new(scenarios: &[Needs], lanes: usize) -> Self {
        let beside = scenarios
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, scenario)| lanes > 1 && !scenario.alone);
        Self { waiting: beside.collect(), held: vec![None; lanes] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next scenario for a lane that has `held`; `None` where nothing is left that it should do.
    ///
    /// A lane goes on with the laboratory that it has. Else it does what takes longest, where all
    /// scenarios that share a laboratory count as one; it helps with those of another lane last, since
    /// they can be divided at the end too, and only where that saves more than a boot.
    pub(super) fn take(&mut self, lane: usize, held: Option<&'static str>) -> Option<usize> {
        self.held[lane] = held;
        let mut best: Option<(bool, bool, u32, u32, usize)> = None;
        for (place, (_, needs)) in self.waiting.iter().enumerate() {
            let own = held.is_some() && needs.shared == held;
            let Some(worth) = self.worth(lane, needs) else { continue };
            let worth = if own { 0 } else { worth };
            let untouched = self.others(lane, needs) == 0;
            let rank = (own, untouched, worth, needs.seconds, usize::MAX - place);
            best = best.max(Some(rank));
        }
        let (.., place) = best?;
        let (scenario, needs) = self.waiting.remove(usize::MAX - place);
        self.held[lane] = needs.shared;
        Some(scenario)
    }

    /// How many seconds of work are behind this scenario for one lane more; `None` where it is better
    /// left to the lanes that are at it.
    fn worth(&self, lane: usize, needs: &Needs) -> Option<u32> {
        let Some(name) = needs.shared else { return Some(needs.seconds) };
        let others = self.others(lane, needs);
        let of = self.waiting.iter().filter(|(_, scenario)| scenario.shared == Some(name));
        let left: u32 = of.map(|(_, scenario)| scenario.seconds).sum();
        if others == 0 || self.held[lane] == Some(name) {
            return Some(left);
        }
        left.checked_sub(BOOT * (others + 1)).map(|left| left / (others + 1))
    }

    /// How many other lanes have the laboratory that a scenario shares.
    fn others(&self, lane: usize, needs: &Needs) -> u32 {
        let held = self.held.iter().enumerate().filter(|(at, _)| *at != lane);
        let same = held.filter(|(_, held)| held.is_some() && **held == needs.shared);
        u32::try_from(same.count()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn needs(alone: bool, shared: Option<&'static str>, seconds: u32) -> Needs {
        Needs { alone, shared, seconds }
    }
    const fn own(seconds: u32) -> Needs {
        needs(false, None, seconds)
    }
    const fn usual(seconds: u32) -> Needs {
        needs(false, Some("usual"), seconds)
    }

    fn parse(line: &str, lanes: Option<&str>) -> Result<BenchOptions> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        BenchOptions::parse(&words, lanes, 3)
    }

    #[test]
    fn words_are_filters_and_the_number_of_lanes_is_none() {
        let options = parse("--lanes 2 s01 --nocapture s3", None).unwrap();
        assert_eq!((options.lanes, options.list), (2, false));
        assert!(options.wants("s01_gateway") && options.wants("s30_drain"));
        assert!(!options.wants("aws_2"));
        assert!(parse("--list", None).is_ok_and(|options| options.list && options.wants("any")));
    }

    #[test]
    fn the_command_line_outranks_the_environment() {
        assert_eq!(parse("", None).unwrap().lanes, 3);
        assert_eq!(parse("", Some("4")).unwrap().lanes, 4);
        assert_eq!(parse("--lanes=1", Some("4")).unwrap().lanes, 1);
        for (line, lanes) in [("--lanes", None), ("--lanes 0", None), ("", Some("many"))] {
            assert!(parse(line, lanes).is_err(), "{line} {lanes:?}");
        }
    }

    #[test]
    fn one_lane_keeps_the_order_of_the_table() {
        let scenarios = [own(1), needs(true, None, 1), usual(9)];
        assert_eq!(one_by_one(&scenarios, 1), [0, 1, 2]);
        assert!(Queue::new(&scenarios, 1).is_empty());
    }

    #[test]
    fn what_runs_alone_comes_first_and_ends_with_the_laboratory_that_goes_on() {
        let scenarios = [usual(1), needs(true, Some("usual"), 1), own(1), needs(true, None, 1)];
        assert_eq!(one_by_one(&scenarios, 2), [3, 1]);
        let mut queue = Queue::new(&scenarios, 2);
        let taken: Vec<_> = std::iter::from_fn(|| queue.take(0, None)).collect();
        assert_eq!(taken, [0, 2]);
    }

    #[test]
    fn a_lane_goes_on_with_its_laboratory_and_else_takes_the_longest() {
        let scenarios = [own(20), usual(5), own(70), usual(60)];
        let mut queue = Queue::new(&scenarios, 2);
        assert_eq!(queue.take(0, Some("usual")), Some(3), "its own laboratory's longest");
        assert_eq!(queue.take(1, None), Some(2), "the longest that nobody is at");
        assert_eq!(queue.take(0, Some("usual")), Some(1));
        assert_eq!(queue.take(0, Some("usual")), Some(0), "another where nothing is left of it");
        assert_eq!(queue.take(1, None), None);
    }

    #[test]
    fn rows_that_share_count_together() {
        let scenarios = [own(30), usual(20), usual(20)];
        assert_eq!(Queue::new(&scenarios, 2).take(0, None), Some(1));
    }

    #[test]
    fn a_lane_helps_with_anothers_laboratory_only_where_a_boot_pays() {
        let scenarios = [usual(9), usual(10), usual(10), usual(9)];
        let mut queue = Queue::new(&scenarios, 2);
        assert_eq!(queue.take(0, Some("usual")), Some(1));
        assert_eq!(queue.take(1, None), None, "28 s are left, two lanes would not be faster");
        let scenarios = [usual(60), usual(50), usual(50)];
        let mut queue = Queue::new(&scenarios, 2);
        assert_eq!(queue.take(0, Some("usual")), Some(0));
        assert_eq!(queue.take(1, None), Some(1));
    }

    #[test]
    fn a_lane_helps_last() {
        let scenarios = [usual(200), usual(200), own(30)];
        let mut queue = Queue::new(&scenarios, 2);
        assert_eq!(queue.take(0, Some("usual")), Some(0));
        assert_eq!(queue.take(1, None), Some(2), "what nobody can divide first");
        assert_eq!(queue.take(1, None), Some(1));
    }

    #[test]
    fn a_lane_that_lost_its_laboratory_boots_another() {
        let mut queue = Queue::new(&[usual(5), usual(4)], 2);
        assert_eq!(queue.take(0, Some("usual")), Some(0));
        assert_eq!(queue.take(0, None), Some(1));
    }
}
