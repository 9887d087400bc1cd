use std::path::PathBuf;

use egret_lab::LabNodeRole;
use egret_lab::cloud::Region;

/// How pods of different workers reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The CNI plugin `bridge`, routes over the LAN, masquerading by nftables.
    #[default]
    Bridge,
    /// The CNI plugin `ptp`, a VXLAN with static entries, masquerading by iptables.
    Overlay,
}

/// How kube-proxy works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// By nftables.
    #[default]
    Nftables,
    /// By iptables.
    Iptables,
}

impl Proxy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

/// What a cluster will consist of.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// How many workers are labelled `egret.dev/gateway=true` (`gateway-1` …).
    pub gateways: u8,
    /// How many are not (`director-1` …).
    pub directors: u8,
    /// How pods of different workers reach each other.
    pub network: Network,
    /// How kube-proxy works.
    pub proxy: Proxy,
    /// Archives of images that every worker has besides [`crate::BOX`].
    pub images: Vec<PathBuf>,
    /// Pods ask the Service `10.96.0.10`, which a manifest has to bring, in the domain `cluster.local`.
    pub dns: bool,
    /// A cloud in the LAN's place, which needs [`Network::Overlay`]: a VPC carries no addresses of
    /// pods.
    pub cloud: Option<Region>,
}

impl Default for ClusterOptions {
    /// Three gateways and two directors, as the laboratory has them.
    fn default() -> Self {
        Self {
            gateways: 3,
            directors: 2,
            network: Network::default(),
            proxy: Proxy::default(),
            images: Vec::new(),
            dns: false,
            cloud: None,
        }
    }
}

impl ClusterOptions {
    /// The workers' names, gateways first.
    pub(crate) fn names(&self) -> Vec<(String, LabNodeRole)> {
        let gateways = (1..=self.gateways).map(|n| (format!("gateway-{n}"), LabNodeRole::Gateway));
        let directors =
            (1..=self.directors).map(|n| (format!("director-{n}"), LabNodeRole::Director));
        gateways.chain(directors).collect()
    }
}
