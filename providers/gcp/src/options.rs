//! How Compute Engine is reached and how it is treated.

use std::time::Duration;

/// Options of the provider; `Options::default()` suits Compute Engine.
#[derive(Clone, Debug, PartialEq)]
pub struct GcpOptions {
    /// The endpoint, such as that of Private Service Connect; `None`: Google's.
    pub endpoint: Option<String>,
    /// For one call.
    pub call_timeout: Duration,
    /// Between two looks at an operation that is under way: the first, and the longest.
    pub poll: (Duration, Duration),
    /// How long a change is waited for to be seen; then the call fails as transient.
    pub settle: Duration,
}

impl Default for GcpOptions {
    fn default() -> Self {
        Self {
            endpoint: None,
            call_timeout: Duration::from_secs(10),
            poll: (Duration::from_millis(100), Duration::from_secs(2)),
            settle: Duration::from_secs(90),
        }
    }
}
