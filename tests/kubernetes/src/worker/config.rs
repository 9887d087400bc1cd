//! The files that make a containerd, a CNI and a kubelet of one worker.

use std::path::Path;

use anyhow::Result;
use egret_lab::address::pod_cidrs;
use serde_json::json;

use crate::cgroup::Cgroup;
use crate::options::Network;

/// Where the system has the CNI's plugins.
const CNI: &str = "/usr/lib/cni";
/// The Service of a cluster's DNS.
const DNS: &str = "10.96.0.10";

/// What they are made for.
pub(super) struct WorkerConfig<'a> {
    /// From 1, over all workers.
    pub(super) number: u8,
    /// The worker's directory.
    pub(super) dir: &'a Path,
    pub(super) cgroup: &'a Cgroup,
    pub(super) network: Network,
    /// Pods ask the cluster's DNS.
    pub(super) dns: bool,
    /// The cluster's certificate authority.
    pub(super) ca: &'a Path,
}

impl WorkerConfig<'_> {
    /// Writes all of them.
    pub(super) fn write(&self) -> Result<()> {
        for folder in ["cni", "cni-bin", "log", "ipam"] {
            std::fs::create_dir_all(self.dir.join(folder))?;
        }
        // A folder of its own, since what one worker's agent installs is not another's.
        for plugin in std::fs::read_dir(CNI)?.flatten() {
            let link = self.dir.join("cni-bin").join(plugin.file_name());
            if !link.exists() {
                std::os::unix::fs::symlink(plugin.path(), link)?;
            }
        }
        std::fs::write(self.dir.join("containerd.toml"), self.containerd())?;
        std::fs::write(self.dir.join("cni/10-egret.conflist"), self.cni())?;
        std::fs::write(self.dir.join("kubelet.yaml"), self.kubelet())?;
        Ok(())
    }

    /// Without CAP_SYS_RESOURCE runc may not lower its oom_score_adj and dies with an end of file;
    /// hence `restrict_oom_score_adj`.
    fn containerd(&self) -> String {
        format!(
            "version = 2
root = \"{dir}/containerd\"
state = \"{dir}/state\"
[grpc]
  address = \"{dir}/containerd.sock\"
[plugins.\"io.containerd.internal.v1.opt\"]
  path = \"{dir}/opt\"
[plugins.\"io.containerd.grpc.v1.cri\"]
  sandbox_image = \"{image}\"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins.\"io.containerd.grpc.v1.cri\".cni]
    bin_dir = \"{dir}/cni-bin\"
    conf_dir = \"{dir}/cni\"
",
            dir = self.dir.display(),
            image = crate::image::BOX,
        )
    }

    /// One address of each family; the masquerading is the worker's own.
    fn cni(&self) -> String {
        let [v4, v6] = pod_cidrs(self.number);
        let ipam = json!({
            "type": "host-local",
            "dataDir": self.dir.join("ipam"),
            "ranges": [[{"subnet": v4}], [{"subnet": v6}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        });
        let plugin = match self.network {
            Network::Bridge => json!({
                "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
                "ipMasq": false, "ipam": ipam,
            }),
            Network::Overlay => json!({"type": "ptp", "mtu": 1450, "ipMasq": false, "ipam": ipam}),
        };
        let ports = json!({"type": "portmap", "capabilities": {"portMappings": true}});
        json!({"cniVersion": "0.4.0", "name": "pods", "plugins": [plugin, ports]}).to_string()
    }

    /// A control group made beforehand, since it shares the machine with others; nothing is evicted
    /// or collected, since its disk and memory are the machine's.
    fn kubelet(&self) -> String {
        let (dns, domain) = if self.dns { (&[DNS][..], "cluster.local") } else { (&[][..], "") };
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": false,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.cgroup.pods(),
            "cgroupsPerQOS": true,
            "enforceNodeAllocatable": [],
            "containerRuntimeEndpoint": format!("unix://{}/containerd.sock", self.dir.display()),
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": false},
                "x509": {"clientCAFile": self.ca},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "failSwapOn": false,
            "evictionHard": {},
            "imageGCHighThresholdPercent": 100,
            "nodeStatusUpdateFrequency": "4s",
            // Otherwise a node that the outage made NotReady stays so until the kubelet's watch, whose
            // pauses have grown to a minute, has told it.
            "nodeStatusReportFrequency": "10s",
            "resolvConf": "",
            "clusterDNS": dns,
            "clusterDomain": domain,
            "podLogsDir": self.dir.join("log"),
        })
        .to_string()
    }
}
