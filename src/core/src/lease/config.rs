//! What a machine is made with, and which rules it breaks on purpose.

use super::Timing;
use crate::model::NodeName;

/// Whether a rule is broken on purpose; `false` at compile time without the feature.
#[cfg(feature = "fault-injection")]
macro_rules! injected {
    ($config:expr, $fault:ident) => {
        $config.injected_faults.0.contains(&crate::lease::InjectedFault::$fault)
    };
}
#[cfg(not(feature = "fault-injection"))]
macro_rules! injected {
    ($config:expr, $fault:ident) => {
        crate::lease::config::never(&$config)
    };
}
pub(super) use injected;

/// Takes the configuration so that it is used with and without the feature.
#[cfg(not(feature = "fault-injection"))]
pub(super) const fn never(_: &LeaseConfig) -> bool {
    false
}

/// What a machine is made with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseConfig {
    /// This node.
    pub me: NodeName,
    /// `/proc/sys/kernel/random/boot_id`: tells kept state of this boot from an earlier one's.
    pub boot_id: String,
    /// Lengths of time; [`Timing::default`] outside tests.
    pub timing: Timing,
    /// Rules to break, for the checker that must notice.
    #[cfg(feature = "fault-injection")]
    pub injected_faults: super::InjectedFaults,
}

impl LeaseConfig {
    /// The protocol as it is meant, with its default lengths of time.
    pub fn new(me: NodeName, boot_id: impl Into<String>) -> Self {
        Self {
            me,
            boot_id: boot_id.into(),
            timing: Timing::default(),
            #[cfg(feature = "fault-injection")]
            injected_faults: super::InjectedFaults::default(),
        }
    }
}
