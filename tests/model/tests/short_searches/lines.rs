//! What came of a search as a line of text, and its comparison with a golden file.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use egret_model::scenario::{ModelScenario, ModelStep};
use egret_model::search::{SearchLimits, SearchOutcome, search};

/// Searches, and says what came of it.
pub fn line(model: &ModelScenario, what: &str, limits: SearchLimits) -> String {
    let SearchOutcome::<ModelStep> { states, transitions, depth, complete, violation } =
        search(model, limits);
    let end = match (violation, complete) {
        // After the colon are names of the code.
        (Some((what, chain)), _) => {
            let what = what.split(':').next().unwrap_or_default();
            format!("{what} after {} steps", chain.len())
        }
        (None, true) => "all states, nothing found".to_owned(),
        (None, false) => "nothing found up to the limit".to_owned(),
    };
    let ModelScenario { name, horizon, .. } = model;
    format!(
        "{name}, {what}, horizon {horizon}: {states} states, {transitions} steps, depth {depth}: \
         {end}\n"
    )
}

/// The lines of all in the order of the list, made by a thread for each processor.
pub fn side_by_side<T: Sync>(all: &[T], line: impl Fn(&T) -> String + Sync) -> String {
    let next = AtomicUsize::new(0);
    let take = || {
        let mut made = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(at) else { return made };
            made.push((at, line(one)));
        }
    };
    let mut lines: Vec<(usize, String)> = thread::scope(|scope| {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(take)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    lines.sort_unstable();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// A change that only renames or moves code changes no number. One that changes the protocol, a
/// model, the order of steps or what is hashed (the datagrams under way are delivered in the order
/// of their hashes) does, and writes the file anew.
pub fn compare(name: &str, fresh: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/short_searches").join(name);
    if std::env::var_os("EGRET_UPDATE").is_some() {
        std::fs::write(&path, fresh).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(fresh, golden, "{name}: EGRET_UPDATE=1 cargo test -p egret-model");
}
