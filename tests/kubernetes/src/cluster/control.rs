use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, bail};
use egret_lab::address::{self, POD_RANGES, ROUTER};
use egret_lab::cloud::{self, Cloud, Instance};
use egret_lab::{Daemon, Role, Surroundings};
use egret_netns::Namespace;

use super::Cluster;

/// Where the API server is on the LAN.
const LAN: (Ipv4Addr, &str) = (Ipv4Addr::new(203, 0, 113, 2), "2001:db8:5::2");
/// The control plane's host, as the cloud calls it and counts it.
pub(super) const HOST: &str = "control";
pub(super) const NUMBER: u8 = 100;

/// The control plane's host, without a cable.
pub(super) fn boot() -> Namespace {
    let net = Namespace::new(HOST);
    for scope in ["all", "default"] {
        net.sysctl(&format!("net/ipv6/conf/{scope}/accept_dad"), "0");
    }
    net
}

/// Plugs it in; returns where the API server listens.
pub(super) fn plug(
    around: &Surroundings,
    net: &Namespace,
    cloud: Option<&Cloud>,
) -> Result<Ipv4Addr> {
    let Some(cloud) = cloud else {
        around.plug_in(HOST, [0x02, 0xe6, 0, 0, 3, 1], net);
        let ((v4, v6), [via4, via6]) = (LAN, ROUTER);
        net.batch(&format!(
            "addr add {v4}/24 dev eth0\naddr add {v6}/64 dev eth0 nodad\nlink set eth0 up\n\
             route add default via {via4}\nroute add ::/0 via {via6}\n"
        ));
        return Ok(v4);
    };
    let Instance { zone, mac, .. } = *cloud.instance(HOST)?;
    cloud::plug_in(around, zone, (HOST, mac), net);
    net.batch(&cloud::addressing(zone, NUMBER));
    match zone.node(NUMBER) {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => bail!("{address}: the VPC has IPv4 only"),
    }
}

/// The token of a component or a worker's kubelet: nobody from outside reaches the API server.
pub(super) fn token(name: &str) -> String {
    format!("{name}-token")
}

/// Lines of the API server's token file.
pub(super) fn users(workers: &[(String, Role)]) -> Vec<String> {
    let components = COMPONENTS.iter().map(|(name, user)| (*name, (*user).to_owned(), ""));
    let kubelets = workers
        .iter()
        .map(|(name, _)| (name.as_str(), format!("system:node:{name}"), ",\"system:nodes\""));
    let users = components.chain(kubelets);
    users.map(|(name, user, groups)| format!("{},{user},{name}{groups}", token(name))).collect()
}

const COMPONENTS: [(&str, &str); 3] = [
    ("controller-manager", "system:kube-controller-manager"),
    ("scheduler", "system:kube-scheduler"),
    ("kube-proxy", "system:kube-proxy"),
];

/// A Node as it is before its kubelet joins, so that its pods' ranges are those of its CNI.
pub(super) fn node(name: &str, number: u8, role: Role, instance: Option<&Instance>) -> String {
    let [v4, v6] = address::pod_cidrs(number);
    let mut text = format!(
        "---\napiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\n  labels:\n    \
         kubernetes.io/hostname: {name}\n"
    );
    if role == Role::Gateway {
        text += "    egret.dev/gateway: \"true\"\n";
    }
    if let Some(instance) = instance {
        let _ = writeln!(text, "    topology.kubernetes.io/zone: {}", instance.zone.name());
    }
    let _ = write!(text, "spec:\n  podCIDR: '{v4}'\n  podCIDRs: ['{v4}', '{v6}']\n");
    // As the cloud controller manager sets it.
    if let Some(instance) = instance {
        let _ = writeln!(text, "  providerID: {}", instance.provider_id());
    }
    text
}

impl Cluster {
    /// Starts what else a control plane has: controllers and the scheduler.
    pub(super) fn start_control(&mut self) -> Result<()> {
        for (name, _) in COMPONENTS {
            self.server.kubeconfig_of(name, &token(name))?;
        }
        self.restart_control()
    }

    /// Ends them, where they run, and starts them.
    pub(super) fn restart_control(&mut self) -> Result<()> {
        self.control.clear();
        let manager = [
            "--use-service-account-credentials",
            "--service-account-private-key-file=sa.key",
            "--root-ca-file=ca.crt",
            &format!("--cluster-cidr={}", POD_RANGES.join(",")),
            // A worker without power is NotReady after 20 s; 50 s are the default.
            "--node-monitor-grace-period=20s",
            "--node-monitor-period=1s",
        ];
        self.start_component("controller-manager", &manager)?;
        self.start_component("scheduler", &[])
    }

    fn start_component(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        let dir = self.server.dir();
        let program = crate::binary(&format!("kube-{name}"))?;
        let mut command = self.control_net.command(&program.to_string_lossy());
        command
            .arg(format!("--kubeconfig={}", dir.join(format!("{name}.kubeconfig")).display()))
            .arg("--leader-elect=false")
            .args(arguments)
            .current_dir(dir);
        let daemon = Daemon::start(command, &dir.join(format!("kube-{name}.log")))?;
        self.control.push(daemon);
        Ok(())
    }
}
