use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What the plugin tells the agent: one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodAdded {
    /// The pod's namespace (`K8S_POD_NAMESPACE`).
    pub namespace: String,
    /// The pod's name (`K8S_POD_NAME`).
    pub name: String,
    /// The pod's uid (`K8S_POD_UID`); empty where the runtime does not say it.
    #[serde(default)]
    pub uid: String,
    /// The addresses that the plugins before gave to it.
    pub ips: Vec<IpAddr>,
}

/// What the agent answers: one line of JSON, once the kernel holds the pod's steering config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentAnswer {
    /// The kernel holds it.
    pub programmed: bool,
}
