use std::time::Duration;

use crate::clock::WallTime;
use crate::load::LoadSeries;

/// A moment with a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: WallTime,
    /// What happened, in a few words.
    pub label: String,
}

/// A few seconds around an event.
#[derive(Clone, Debug)]
pub struct PictureWindow {
    /// Above the panel.
    pub title: String,
    /// Below the title, the outcome in numbers.
    pub outcome: String,
    /// Whether the outcome is bad.
    pub bad: bool,
    /// Zero of the time axis.
    pub zero: WallTime,
    /// How much before zero is shown.
    pub before: Duration,
    /// How much after.
    pub after: Duration,
    /// Vertical lines.
    pub marks: Vec<Mark>,
    /// The connections.
    pub series: Vec<LoadSeries>,
}
