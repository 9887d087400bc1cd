use super::ObjectRef;
use crate::reason::EventReason;

/// An event to record, about the object that it names: not dated yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventDraft {
    /// What it is about.
    pub about: ObjectRef,
    /// Warning where true, Normal where false.
    pub warning: bool,
    /// What has happened.
    pub reason: EventReason,
    /// The sentence.
    pub message: String,
}

impl EventDraft {
    /// A Normal event.
    pub fn normal(about: ObjectRef, reason: EventReason, message: String) -> Self {
        Self { about, warning: false, reason, message }
    }

    /// A Warning event.
    pub fn warning(about: ObjectRef, reason: EventReason, message: String) -> Self {
        Self { about, warning: true, reason, message }
    }
}
