use std::time::Duration;

use egret_lab::Stamp;
use egret_lab::load::Load;
use egret_lab::picture::{Mark, Scene};
use egret_lab::timeline::Passage;

/// The seconds around an event, as a scene.
pub(super) fn scene(
    title: &str,
    (outcome, bad): (String, bool),
    (zero, after): (Stamp, Duration),
    load: &Load,
    marks: Vec<Mark>,
) -> Scene {
    let before = Duration::from_millis(1500);
    let series = load.series();
    Scene { title: title.to_owned(), outcome, bad, zero, before, after, marks, series }
}

pub(super) fn mark(at: Stamp, label: &str) -> Mark {
    Mark { at, label: label.to_owned() }
}

/// The marks of a passage: its cause, and the moment of the new holder.
pub(super) fn marks(cause: &str, passages: &[Passage]) -> Vec<Mark> {
    let Some(first) = passages.first() else { return Vec::new() };
    let mut marks = vec![mark(first.begun, cause)];
    if let (Some(at), Some(to)) = (first.takeover.or(first.announced), &first.to) {
        marks.push(mark(at, &format!("{to} holds")));
    }
    marks
}
