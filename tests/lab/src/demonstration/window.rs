use std::time::Duration;

use crate::clock::WallTime;
use crate::load::Load;
use crate::picture::{Mark, PictureWindow};
use crate::timeline::Passage;

/// The seconds around an event, as a window of the picture.
#[must_use]
pub fn window(
    title: &str,
    (outcome, bad): (String, bool),
    (zero, after): (WallTime, Duration),
    load: &Load,
    marks: Vec<Mark>,
) -> PictureWindow {
    let before = Duration::from_millis(1500);
    let series = load.series();
    PictureWindow { title: title.to_owned(), outcome, bad, zero, before, after, marks, series }
}

/// A moment with a name.
#[must_use]
pub fn mark(at: WallTime, label: &str) -> Mark {
    Mark { at, label: label.to_owned() }
}

/// The marks of a passage: its cause, and the moment of the new holder.
#[must_use]
pub fn marks(cause: &str, passages: &[Passage]) -> Vec<Mark> {
    let Some(first) = passages.first() else { return Vec::new() };
    let mut marks = vec![mark(first.begun, cause)];
    if let (Some(at), Some(to)) = (first.takeover.or(first.announced), &first.to) {
        marks.push(mark(at, &format!("{to} holds")));
    }
    marks
}
