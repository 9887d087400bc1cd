//! How an error is met: its class decides the retry, never its text.

use std::error::Error;
use std::time::Duration;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// May succeed when repeated (timeouts, 5xx, unreachable).
    Transient,
    /// The other side asks for fewer calls; not before the given time where it names one.
    Throttled {
        /// How long to wait at least.
        after: Option<Duration>,
    },
    /// The thing named does not exist.
    NotFound,
    /// Somebody else has written or holds it: read again and decide again.
    Conflict,
    /// Credentials or rights are missing: waits for a person.
    Denied,
    /// A limit of the other side is reached: waits for a person or a release.
    Quota,
    /// The request itself makes no sense there: repeating it cannot help.
    Invalid,
}

impl ErrorClass {
    /// The class in snake_case: the label of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled { .. } => "throttled",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Quota => "quota",
            Self::Invalid => "invalid",
        }
    }
}

/// A classified failure of a port.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {source}")]
pub struct PortError {
    /// Decides how it is retried.
    pub class: ErrorClass,
    /// What was attempted, such as `write EgressAddress 203.0.113.17`.
    pub operation: String,
    /// The cause.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl PortError {
    /// An error of `class` while doing `operation`.
    pub fn new(
        class: ErrorClass,
        operation: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { class, operation: operation.into(), source: source.into() }
    }
}
