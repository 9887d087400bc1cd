use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Result, bail};
use egret_lab::address::{self, POD_RANGES, ROUTER};
use egret_lab::cloud::{self, LabCloud, LabInstance};
use egret_lab::{Daemon, LabNetwork, LabNodeRole};
use egret_netns::NetworkNamespace;

use crate::api_server::{ApiServer, ApiServerOptions};
use crate::place::Place;

/// Where the API server is on the LAN.
const LAN: (Ipv4Addr, &str) = (Ipv4Addr::new(203, 0, 113, 2), "2001:db8:5::2");
/// The control plane's host, as the cloud calls it and counts it.
pub(super) const HOST: &str = "control";
pub(super) const NUMBER: u8 = 100;

/// The control plane's host, without a cable.
pub(super) fn boot() -> NetworkNamespace {
    let net = NetworkNamespace::new(HOST);
    for scope in ["all", "default"] {
        net.sysctl(&format!("net/ipv6/conf/{scope}/accept_dad"), "0");
    }
    net
}

/// Plugs it in; returns where the API server listens.
pub(super) fn plug(
    network: &LabNetwork,
    net: &NetworkNamespace,
    cloud: Option<&LabCloud>,
) -> Result<Ipv4Addr> {
    let Some(cloud) = cloud else {
        network.plug_in(HOST, [0x02, 0xe6, 0, 0, 3, 1], net);
        let ((v4, v6), [via4, via6]) = (LAN, ROUTER);
        net.batch(&format!(
            "addr add {v4}/24 dev eth0\naddr add {v6}/64 dev eth0 nodad\nlink set eth0 up\n\
             route add default via {via4}\nroute add ::/0 via {via6}\n"
        ));
        return Ok(v4);
    };
    let LabInstance { zone, mac, .. } = *cloud.instance(HOST)?;
    cloud::plug_in(network, zone, (HOST, mac), net);
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
fn users(workers: &[(String, LabNodeRole)]) -> Vec<String> {
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
pub(super) fn node(
    name: &str,
    number: u8,
    role: LabNodeRole,
    instance: Option<&LabInstance>,
) -> String {
    let [v4, v6] = address::pod_cidrs(number);
    let mut text = format!(
        "---\napiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\n  labels:\n    \
         kubernetes.io/hostname: {name}\n"
    );
    if role == LabNodeRole::Gateway {
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

/// The control plane that is up: the API server with etcd, controllers and the scheduler.
#[derive(Debug)]
pub(super) struct ControlPlane {
    components: Vec<Daemon>,
    pub(super) server: ApiServer,
    /// Where it runs.
    pub(super) net: Arc<NetworkNamespace>,
}

impl ControlPlane {
    /// Starts it on its host, where it listens on `address`; every worker has a [`token`].
    pub(super) fn start(
        net: Arc<NetworkNamespace>,
        address: Ipv4Addr,
        workers: &[(String, LabNodeRole)],
    ) -> Result<Self> {
        let server = ApiServer::start_with(ApiServerOptions {
            place: Place::Namespace { path: net.path(), address },
            users: users(workers),
            service_accounts: true,
            ..ApiServerOptions::default()
        })?;
        for (name, _) in COMPONENTS {
            server.kubeconfig_of(name, &token(name))?;
        }
        let mut control = Self { components: Vec::new(), server, net };
        control.restart_components()?;
        Ok(control)
    }

    /// Ends controllers and the scheduler, where they run, and starts them.
    pub(super) fn restart_components(&mut self) -> Result<()> {
        self.components.clear();
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
        let mut command = self.net.command(&program.to_string_lossy());
        command
            .arg(format!("--kubeconfig={}", dir.join(format!("{name}.kubeconfig")).display()))
            .arg("--leader-elect=false")
            .args(arguments)
            .current_dir(dir);
        let daemon = Daemon::start(command, &dir.join(format!("kube-{name}.log")))?;
        self.components.push(daemon);
        Ok(())
    }
}
