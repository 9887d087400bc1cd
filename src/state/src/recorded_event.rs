use egret_core::model::Timestamp;
use egret_ports::cluster_state::Event;

/// An event that was seen once or several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// The event, with the time of its last occurrence.
    pub event: Event,
    /// How often it occurred.
    pub count: u32,
    /// When it occurred first.
    pub first: Timestamp,
}
