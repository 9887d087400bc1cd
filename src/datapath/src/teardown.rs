//! Removal of everything that the director's side has in the kernel.

use std::fmt;
use std::path::Path;

use egret_ports::error::PortError;

use crate::constants::HostSettings;
use crate::{conntrack, former, interface, link, route, rule, snat_backend};

/// What could not be removed; the rest was.
#[derive(Debug)]
pub struct TeardownError {
    /// One for each step that failed, in order.
    pub failures: Vec<PortError>,
}

impl fmt::Display for TeardownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not everything could be removed: ")?;
        for (index, failure) in self.failures.iter().enumerate() {
            let comma = if index == 0 { "" } else { "; " };
            write!(f, "{comma}{failure}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TeardownError {}

/// Removes our addresses of interfaces, rules, routes, device, steered connections and rule set, the guard last: until the
/// end, what is steered is dropped and does not leave with another source. Idempotent; goes on
/// after a failure.
///
/// # Errors
/// All failures, after everything else was removed.
pub fn all(settings: &HostSettings) -> Result<(), TeardownError> {
    type Step = fn(&HostSettings) -> Result<(), PortError>;
    let steps: [(&str, Step); 7] = [
        // First, while everything that guards them is there.
        ("addresses of interfaces", |_| interface::restore(Path::new("/run"))),
        ("rules", rule::remove),
        ("rules of other settings", |settings| former::remove(settings).map(drop)),
        ("routes", route::remove),
        ("device", link::remove),
        ("connections", |settings| conntrack::forget_all(settings).map(drop)),
        ("guard", |settings| snat_backend::choose(settings).teardown()),
    ];
    let mut failures = Vec::new();
    for (step, remove) in steps {
        match remove(settings) {
            Ok(()) => tracing::debug!(step, "removed"),
            Err(error) => failures.push(error),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(TeardownError { failures }) }
}
