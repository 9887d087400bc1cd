//! The models as tests: each as it is meant up to a number of states, and every mistake of
//! docs/leases.md refused with a chain of steps that shows it.

use egret_model::catalogue;
use egret_model::models::Broken;
use egret_model::search::{Limits, search};

/// States of each sound model in the short run; `cargo run -p egret-model --release -- check
/// --long` goes on from there.
const SHORT: usize = 15_000;

#[test]
fn no_model_shows_two_holders_or_one_of_a_freed_address() {
    for sound in catalogue::SOUND {
        let model = (sound.make)(&Broken::default(), sound.short);
        let limits = Limits { states: SHORT, depth: usize::MAX, shuffle: 11 };
        let outcome = search(&model, limits);
        assert!(outcome.violation.is_none(), "{}: {outcome:#?}", model.name);
        assert!(outcome.states > 10, "{}: nothing happens in it", model.name);
    }
}

/// Two tests, so that two processors share them.
fn refuses(half: usize) {
    let mut missed = Vec::new();
    for case in catalogue::refused().into_iter().skip(half).step_by(2) {
        let model = (case.make)(&case.broken, case.horizon);
        let limits = Limits { states: 3_000_000, depth: case.depth, shuffle: 0 };
        let outcome = search(&model, limits);
        if outcome.violation.is_none() {
            missed.push((case.what, model.name, outcome.states));
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn every_mistake_is_refused() {
    refuses(0);
}

#[test]
fn every_other_mistake_is_refused_too() {
    refuses(1);
}
