//! How much of each model a short search sees, and how soon it finds the mistakes that it can:
//! seconds, where `checker.rs` takes minutes to find them all.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use egret_model::catalogue;
use egret_model::models::BrokenRules;
use egret_model::search::SearchLimits;

#[path = "short_searches/lines.rs"]
mod lines;

/// Most states of the search of a model as it is meant.
const SOUND: usize = 4_000;
/// Most states of the search for a mistake: enough for two in three.
const REFUSED: usize = 15_000;

#[test]
fn short_searches_see_what_they_saw() {
    let sound = lines::side_by_side(&catalogue::SOUND, |sound| {
        let model = (sound.make)(&BrokenRules::default(), sound.short);
        let limits = SearchLimits { states: SOUND, depth: usize::MAX, shuffle: 0 };
        lines::line(&model, "as it is meant", limits)
    });
    let refused = lines::side_by_side(&catalogue::refused(), |refused| {
        let model = (refused.make)(&refused.broken, refused.horizon);
        let limits = SearchLimits { states: REFUSED, depth: refused.depth, shuffle: 0 };
        lines::line(&model, refused.what, limits)
    });
    lines::compare("short.txt", &(sound + &refused));
}
