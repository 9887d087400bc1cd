//! What goes wrong: power, links, processes, the store. And what starts Egret.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::address::{POD_RANGES, SERVICE_RANGES};
use crate::clock::WallTime;
use crate::lab::Lab;
use crate::machine::STORE;
use crate::node::{addressing, plug_private};
use crate::process::Daemon;
use crate::test_bed::TestBed;

/// A direction on the cable of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CableDirection {
    /// What the node sends is lost.
    FromNode,
    /// What is sent to the node is lost.
    ToNode,
}

impl Lab {
    /// Makes the store, writes the nodes and starts the controller and every agent.
    ///
    /// # Errors
    /// Where the binary is missing or `egret init` fails.
    pub fn start_egret(&mut self) -> Result<()> {
        self.init_store()?;
        self.start_controller()?;
        for name in self.node_names() {
            if !self.node(&name)?.late {
                self.start_agent(&name)?;
            }
        }
        Ok(())
    }

    /// Makes the store and writes the nodes; starts nothing.
    ///
    /// # Errors
    /// Where the binary is missing or `egret init` fails.
    pub fn init_store(&mut self) -> Result<()> {
        if self.cloud.is_some() {
            self.check_feature("aws")?;
        }
        if self.vpc.is_some() {
            self.check_feature("gcp")?;
        }
        self.run_egret(&["init"])?;
        for name in self.node_names() {
            if !self.node(&name)?.late {
                self.write_node(&name)?;
            }
        }
        Ok(())
    }

    /// Starts the controller, on a machine of its own that only shares the store.
    ///
    /// # Errors
    /// Where the binary is missing.
    pub fn start_controller(&mut self) -> Result<()> {
        let mut command = self.control.command(self.egret()?);
        let t_max = format!("{}ms", self.t_max.as_millis());
        command.args(["controller", "--manifests", STORE, "--log-format", "json"]);
        command.args(["--t-max", &t_max]);
        if let Some(cloud) = &self.cloud {
            command.args(["--aws-endpoint", &cloud.url(), "--aws-region", "eu-central-1"]);
            command.args(["--cloud-scan-interval", "5s"]);
            command.env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE");
            command.env("AWS_SECRET_ACCESS_KEY", "none");
        }
        if let Some(vpc) = &self.vpc {
            command.args(["--gcp-endpoint", &format!("http://{}", vpc.host())]);
            command.args(["--cloud-scan-interval", "5s"]);
            command.env("GCE_METADATA_HOST", vpc.host());
        }
        for range in POD_RANGES {
            command.args(["--pod-cidr", range]);
        }
        for range in SERVICE_RANGES {
            command.args(["--service-cidr", range]);
        }
        self.controller = Some(Daemon::start(command, &self.dir().join("logs/controller.log"))?);
        Ok(())
    }

    /// A binary without the feature would refuse every pool of the cloud.
    fn check_feature(&self, feature: &str) -> Result<()> {
        let egret = self.egret()?;
        let help = std::process::Command::new(&egret).args(["controller", "--help"]).output()?;
        ensure!(
            String::from_utf8_lossy(&help.stdout).contains(&format!("--{feature}-endpoint")),
            "{} is built without the cloud: cargo build -p egret --features {feature}",
            egret.display()
        );
        Ok(())
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn controller(&self) -> Option<&Daemon> {
        self.controller.as_ref()
    }

    /// Stops the controller with SIGTERM (true) or kills it.
    ///
    /// # Errors
    /// Where it does not end.
    pub fn stop_controller(&mut self, gently: bool) -> Result<()> {
        let mut controller = self.controller.take().context("the controller does not run")?;
        if gently { controller.stop(Duration::from_secs(10)) } else { Ok(()) }
    }

    /// Starts a node's agent from another binary (an upgrade).
    ///
    /// # Errors
    /// Where the node is off.
    pub fn start_agent_of(&mut self, name: &str, egret: &std::path::Path) -> Result<()> {
        let socket = self.cni_socket(name);
        let node = self.node_mut(name)?;
        let mut command = node.machine()?.command(egret);
        command.arg("agent").arg("--cni-socket").arg(socket);
        command.args(["--node", name, "--manifests", STORE, "--log-format", "json"]);
        if node.second.is_none() {
            command.args(["--uplink", "eth0"]);
        }
        if node.private {
            // As status.hostIPs in Kubernetes, with the chart's default; by variables, which an older binary leaves unread.
            let known = node.internal_addresses();
            let known = known.iter().filter(|address| address.is_ipv6() || !node.ipv4_comes);
            let known: Vec<String> = known.map(ToString::to_string).collect();
            command.env("EGRET_NODE_ADDRESSES", known.join(","));
            command.env("EGRET_ENDPOINTS_FROM", "Cluster");
        }
        let log = node.log.clone();
        node.agent = Some(Daemon::start(command, &log)?);
        Ok(())
    }

    /// Gives the nodes a private network without a way to the world, and has the cluster know them by
    /// it. Before Egret is started.
    ///
    /// # Errors
    /// While a node is off.
    pub fn add_private_network(&mut self) -> Result<()> {
        self.network.add_private_switch();
        for node in &mut self.nodes {
            plug_private(&self.network, &node.name, node.number, &node.machine()?.net);
            node.private = true;
        }
        Ok(())
    }

    /// Has a node's agent begin when Kubernetes knows the node by its IPv6 address alone. Before Egret is started.
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn let_ipv4_come(&mut self, name: &str) -> Result<()> {
        self.node_mut(name)?.ipv4_comes = true;
        Ok(())
    }

    /// A node's systemd begins to shut the host down, and says so. It stops nothing by itself.
    ///
    /// # Errors
    /// While the node is off.
    pub fn shut_down(&self, name: &str) -> Result<()> {
        self.node(name)?.machine()?.shut_down();
        Ok(())
    }

    /// Stops a node's agent with SIGTERM and waits for its end.
    ///
    /// # Errors
    /// Where it has not ended after 15 s.
    pub fn stop_agent(&mut self, name: &str) -> Result<WallTime> {
        let mut agent = self.node_mut(name)?.agent.take().context("the agent does not run")?;
        let at = WallTime::now();
        agent.stop(Duration::from_secs(15)).with_context(|| format!("the agent of {name}"))?;
        Ok(at)
    }

    /// Boots a node that is off: its network and its pods, no agent yet.
    ///
    /// # Errors
    /// Where the kernel refuses something.
    pub fn boot_network(&mut self, name: &str) -> Result<()> {
        let (store, count) = (self.store(), u8::try_from(self.nodes.len())?);
        let at = self.nodes.iter().position(|node| node.name == name).context("no such node")?;
        let (network, node) = (&self.network, &mut self.nodes[at]);
        node.boot(network, &store, count)
    }

    /// Puts the CNI's masquerading back, after a foreign hand has flushed the whole rule set.
    ///
    /// # Errors
    /// Where the node is off.
    pub fn restore_cni(&self, name: &str) -> Result<()> {
        self.node(name)?.net()?.nft(&crate::node::masquerading());
        Ok(())
    }

    /// Pulls a node's cable (false) or plugs it in again.
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn set_link(&self, name: &str, up: bool) -> Result<WallTime> {
        let port = self.node(name)?.port();
        let at = WallTime::now();
        self.lan.run(&format!("ip link set {port} {}", if up { "up" } else { "down" }));
        Ok(at)
    }

    /// Gives a node's uplink its addresses and routes again, whatever was done to it.
    ///
    /// # Errors
    /// While the node is off.
    pub fn restore_uplink(&self, name: &str) -> Result<()> {
        let node = self.node(name)?;
        let net = node.net()?;
        // Set down, it has no route left.
        net.run("ip link set eth0 down");
        net.run("ip addr flush dev eth0");
        net.batch(&addressing(node.number));
        net.batch(&node.routes(u8::try_from(self.nodes.len())?));
        Ok(())
    }

    /// Loses everything on a node's cable in one direction.
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn cut(&self, name: &str, way: CableDirection) -> Result<WallTime> {
        let port = self.node(name)?.port();
        let hook = match way {
            CableDirection::FromNode => "ingress",
            CableDirection::ToNode => "egress",
        };
        let at = WallTime::now();
        self.lan.nft(&format!(
            "table netdev lab-{hook}-{name} {{ chain cut {{
  type filter hook {hook} device \"{port}\" priority 0;
  drop
}}
}}\n"
        ));
        Ok(at)
    }

    /// Loses what these nodes send to the router, in one moment; they reach each other as before. No name ends it.
    pub fn silence_router(&self, names: &[&str]) {
        let ports: Vec<String> = names.iter().map(|name| format!("\"p-{name}\"")).collect();
        let drop = if ports.is_empty() {
            String::new()
        } else {
            format!("iifname {{ {} }} oifname \"r-lan\" drop", ports.join(", "))
        };
        self.lan.nft(&format!(
            "table bridge lab-router {{ }}
delete table bridge lab-router
table bridge lab-router {{ chain silent {{
  type filter hook forward priority 0;
  {drop}
}}
}}\n"
        ));
    }

    /// Ends every cut of a node's cable.
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn heal(&self, name: &str) -> Result<()> {
        self.node(name)?;
        for table in ["bridge lab", "netdev lab-ingress", "netdev lab-egress"] {
            let _ = self.lan.output(&format!("nft delete table {table}-{name}"));
        }
        Ok(())
    }

    pub(crate) fn machines(&self) -> impl Iterator<Item = &crate::machine::NodeMachine> {
        self.nodes.iter().filter_map(|node| node.machine.as_ref()).chain([&self.control])
    }
}
