use clap::Args;
use egret_core::model::ControllerSettings;
use egret_core::model::{BadDuration, Millis};
use ipnet::IpNet;

/// Options of the controller.
#[derive(Clone, Debug, Args)]
pub struct ControllerArgs {
    /// Name of this controller among several; the host's name and the process by default.
    #[arg(long, value_name = "NAME")]
    pub identity: Option<String>,
    /// The longest lease that any pool may have (T_max). Fixed when the cluster's object is made.
    /// After a boot, voters are silent for 1.12 times as long.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = t_max)]
    pub t_max: Millis,
    /// Range of pod addresses. May be repeated. Without it the ranges are found: Calico's IPPools,
    /// Cilium's CiliumNodes, podCIDRs of the Nodes, in this order.
    #[arg(long, value_name = "CIDR")]
    pub pod_cidr: Vec<IpNet>,
    /// Range of Service addresses, in addition to the cluster's ServiceCIDRs. May be repeated.
    #[arg(long, value_name = "CIDR")]
    pub service_cidr: Vec<IpNet>,
    /// Take the taint egret.dev/agent-not-ready off a node when its agent is ready. Nodes get it
    /// from kubelet --register-with-taints.
    #[arg(long)]
    pub startup_taint: bool,
    /// How often a cloud is looked at for addresses that somebody else has moved, at the least:
    /// 1s to 1h. A change that Egret makes itself does not wait for it.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = scan_interval)]
    pub cloud_scan_interval: Millis,
}

impl ControllerArgs {
    pub(crate) fn identity(&self) -> String {
        self.identity.clone().unwrap_or_else(|| {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            format!("{}-{}", host.trim(), std::process::id())
        })
    }

    pub(crate) fn settings(&self) -> ControllerSettings {
        ControllerSettings {
            cluster_id: cluster_id(),
            t_max: self.t_max,
            pods: self.pod_cidr.iter().map(IpNet::trunc).collect(),
            services: self.service_cidr.iter().map(IpNet::trunc).collect(),
            startup_taint: self.startup_taint,
        }
    }
}

/// A random UUID from the kernel: used only where the cluster's object has to be made.
fn cluster_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default().trim().to_owned()
}

fn scan_interval(text: &str) -> Result<Millis, String> {
    let length: Millis = text.parse().map_err(|error: BadDuration| error.to_string())?;
    if (1_000..=3_600_000).contains(&length.0) {
        Ok(length)
    } else {
        Err("use a length from 1s to 1h".to_owned())
    }
}

fn t_max(text: &str) -> Result<Millis, String> {
    let length: Millis = text.parse().map_err(|error: BadDuration| error.to_string())?;
    if (150..=60_000).contains(&length.0) {
        Ok(length)
    } else {
        Err("use a length from 150ms to 60s".to_owned())
    }
}
