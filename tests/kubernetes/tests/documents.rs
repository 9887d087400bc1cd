//! Every command of README and docs does what the page has it do: it runs here, or stands in the one list of those
//! that cannot (`documents/exempt.rs`), with the reason.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "documents/exempt.rs"]
mod exempt;
#[path = "documents/host.rs"]
mod host;
#[path = "documents/pages.rs"]
mod pages;
#[path = "documents/run.rs"]
mod run;

use std::collections::BTreeSet;

use exempt::{EXEMPT, exempted};
use pages::{Place, commands};

/// A command that is written in a new way is run, or this fails.
#[test]
fn commands_about_a_store_are_carried_out() {
    let mut failures = Vec::new();
    for command in commands().iter().filter(|command| command.place == Place::Store) {
        if exempted(&command.line).is_none() {
            failures.extend(run::over_a_store(command));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Each block on an API server of its own, in its order; a line between sentences by itself.
#[test]
fn commands_for_a_cluster_are_carried_out() {
    let commands = commands();
    let mut failures = Vec::new();
    for block in commands.chunk_by(|one, next| one.block == next.block) {
        let of_cluster = |command: &&pages::Command| command.place == Place::Cluster;
        let lines: Vec<&pages::Command> = block.iter().filter(of_cluster).collect();
        if lines.iter().any(|command| exempted(&command.line).is_none()) {
            failures.extend(run::on_an_api_server(&lines));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What `make` is asked for is there.
#[test]
fn every_goal_of_make_exists() {
    let mut failures = Vec::new();
    for command in commands().iter().filter(|command| command.place == Place::Make) {
        failures.extend(run::without_doing_it(command));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// One host without Kubernetes, as README has it, from nothing to a claim that is Ready, and back to nothing.
#[test]
fn the_recipe_for_one_host_makes_a_claim_ready() {
    let commands = commands();
    let recipe =
        commands.iter().filter(|command| command.place == Place::Host && command.block.is_some());
    let lines: Vec<&str> = recipe.map(|command| command.line.as_str()).collect();
    assert!(lines.iter().any(|line| line.contains(" standalone ")), "{lines:?}");
    host::recipe(&lines, "");
}

/// Teardown has no flags for the network: it knows what the agent ran with.
#[test]
fn teardown_leaves_nothing_of_other_flags() {
    let commands = commands();
    let recipe =
        commands.iter().filter(|command| command.place == Place::Host && command.block.is_some());
    let lines: Vec<&str> = recipe.map(|command| command.line.as_str()).collect();
    host::recipe(&lines, "--mark 0x4 --route-table 77 --rule-priority 300 --tunnel-port 6480");
}

/// Whoever is exempt is named by a page, or the list is stale.
#[test]
fn the_list_of_exemptions_has_no_more_than_the_pages() {
    let commands = commands();
    let used: BTreeSet<&str> =
        commands.iter().filter_map(|command| exempted(&command.line)).collect();
    let unused: Vec<&str> =
        EXEMPT.iter().map(|(line, _)| *line).filter(|line| !used.contains(line)).collect();
    assert!(unused.is_empty(), "no page has these: {unused:?}");
    let unplaced: Vec<_> = commands
        .iter()
        .filter(|command| command.place == Place::Elsewhere && exempted(&command.line).is_none())
        .collect();
    assert!(unplaced.is_empty(), "nobody runs these, nor says why: {unplaced:#?}");
}
