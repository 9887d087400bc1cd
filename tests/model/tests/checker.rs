//! The models as tests: each as it is meant up to a number of states, and every mistake of
//! docs/leases.md refused with a chain of steps that shows it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use egret_model::catalogue;
use egret_model::ends::{self, Ends};
use egret_model::models::BrokenRules;
use egret_model::search::{SearchLimits, search};

#[path = "short_searches/lines.rs"]
mod lines;

/// States of each sound model in the short run; `cargo run -p egret-model --release -- check
/// --long` goes on from there.
const SHORT: usize = 15_000;

#[test]
fn no_model_shows_two_holders_or_one_of_a_freed_address() {
    for sound in catalogue::SOUND {
        let model = (sound.make)(&BrokenRules::default(), sound.short);
        let limits = SearchLimits { states: SHORT, depth: usize::MAX, shuffle: 11 };
        let outcome = search(&model, limits);
        assert!(outcome.violation.is_none(), "{}: {outcome:#?}", model.name);
        assert!(outcome.states > 10, "{}: nothing happens in it", model.name);
    }
}

/// The whole model, and the mistake that it must find.
#[test]
fn an_address_ends_with_its_last_connection_and_by_no_answer_to_an_earlier_release() {
    let limits = SearchLimits { states: 500_000, depth: usize::MAX, shuffle: 0 };
    let sound = search(&Ends::sound(2), limits);
    assert!(sound.violation.is_none() && sound.complete, "{sound:#?}");
    assert!(sound.states > 1_000, "{}", sound.states);
    let broken = search(&Ends::broken(), SearchLimits { depth: ends::DEPTH, ..limits });
    let (what, chain) = broken.violation.unwrap();
    assert_eq!((what.as_str(), chain.len()), ("revoked: 1 has a connection", ends::DEPTH));
}

/// How soon each is found is pinned too.
#[test]
fn every_mistake_is_refused() {
    let found = lines::side_by_side(&catalogue::refused(), |case| {
        let model = (case.make)(&case.broken, case.horizon);
        let limits = SearchLimits { states: 3_000_000, depth: case.depth, shuffle: 0 };
        let line = lines::line(&model, case.what, limits);
        assert!(line.ends_with(" steps\n"), "not found: {line}");
        line
    });
    lines::compare("refused.txt", &found);
}
