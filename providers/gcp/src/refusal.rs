//! Why something cannot be.

use egret_ports::error::ErrorClass;

/// What keeps something from being so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GceRefusal {
    pub class: ErrorClass,
    pub message: String,
}

impl GceRefusal {
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}
