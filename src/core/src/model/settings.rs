use std::collections::BTreeSet;

use ipnet::IpNet;

use super::Millis;

/// The controller's settings that no object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerSettings {
    /// The id for the cluster object, where it has to be made: random, from the caller.
    pub cluster_id: String,
    /// T_max for the cluster object, where it has to be made.
    pub t_max: Millis,
    /// Pod ranges; where there are any, none is looked for elsewhere.
    pub pods: BTreeSet<IpNet>,
    /// Service ranges.
    pub services: BTreeSet<IpNet>,
    /// Nodes lose [`super::STARTUP_TAINT`] when their agents are ready.
    pub startup_taint: bool,
}

impl ControllerSettings {
    /// Settings of a cluster without further ranges and with T_max = 10 s.
    pub fn new(cluster_id: impl Into<String>) -> Self {
        Self {
            cluster_id: cluster_id.into(),
            t_max: Millis::from_secs(10),
            pods: BTreeSet::new(),
            services: BTreeSet::new(),
            startup_taint: false,
        }
    }
}
