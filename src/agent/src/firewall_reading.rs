//! When what other programs do with marks was read.

use std::time::Instant;

/// When firewalls were read last.
#[derive(Debug, Default)]
pub(crate) struct FirewallReading {
    /// The rule set's generation before.
    pub(crate) generation: Option<u32>,
    pub(crate) is_under_way: bool,
    /// Not read again before.
    pub(crate) rests_until: Option<Instant>,
}
