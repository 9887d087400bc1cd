//! What goes wrong: power, links, processes, the store. And what starts Egret.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::address::{POD_RANGES, SERVICE_RANGES};
use crate::builder::PodSpec;
use crate::clock::Stamp;
use crate::lab::Lab;
use crate::machine::STORE;
use crate::process::Daemon;

/// A direction on the cable of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
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
            self.check_feature()?;
        }
        self.ask(&["init"])?;
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
    fn check_feature(&self) -> Result<()> {
        let egret = self.egret()?;
        let help = std::process::Command::new(&egret).args(["controller", "--help"]).output()?;
        ensure!(
            String::from_utf8_lossy(&help.stdout).contains("--aws-endpoint"),
            "{} is built without the cloud: cargo build -p egret --features aws",
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

    /// Starts a node's agent.
    ///
    /// # Errors
    /// Where the binary is missing or the node is off.
    pub fn start_agent(&mut self, name: &str) -> Result<()> {
        let egret = self.egret()?;
        self.start_agent_of(name, &egret)
    }

    /// Starts a node's agent from another binary (an upgrade).
    ///
    /// # Errors
    /// Where the node is off.
    pub fn start_agent_of(&mut self, name: &str, egret: &std::path::Path) -> Result<()> {
        let node = self.node_mut(name)?;
        let mut command = node.machine()?.command(egret);
        command.args(["agent", "--node", name, "--manifests", STORE, "--uplink", "eth0"]);
        command.args(["--log-format", "json"]);
        let log = node.log.clone();
        node.agent = Some(Daemon::start(command, &log)?);
        Ok(())
    }

    /// Kills a node's agent with SIGKILL; returns the moment.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill_agent(&mut self, name: &str) -> Result<Stamp> {
        let agent = self.node_mut(name)?.agent.take().context("the agent does not run")?;
        let at = Stamp::now();
        drop(agent);
        Ok(at)
    }

    /// Stops a node's agent with SIGTERM and waits for its end.
    ///
    /// # Errors
    /// Where it has not ended after 15 s.
    pub fn stop_agent(&mut self, name: &str) -> Result<Stamp> {
        let mut agent = self.node_mut(name)?.agent.take().context("the agent does not run")?;
        let at = Stamp::now();
        agent.stop(Duration::from_secs(15)).with_context(|| format!("the agent of {name}"))?;
        Ok(at)
    }

    /// Freezes a node's agent (SIGSTOP); the kernel goes on.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn freeze(&self, name: &str) -> Result<Stamp> {
        let agent = self.node(name)?.agent.as_ref().context("the agent does not run")?;
        agent.signal(Signal::SIGSTOP)?;
        Ok(Stamp::now())
    }

    /// Lets a frozen agent go on.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn thaw(&self, name: &str) -> Result<Stamp> {
        let agent = self.node(name)?.agent.as_ref().context("the agent does not run")?;
        let at = Stamp::now();
        agent.signal(Signal::SIGCONT)?;
        Ok(at)
    }

    /// Takes the power away: the port is down at once, then every process is killed and the
    /// kernel's state, /run and the pins are gone. Returns the moment.
    ///
    /// # Errors
    /// Where the node is off.
    pub fn power_off(&mut self, name: &str) -> Result<Stamp> {
        let port = self.node(name)?.port();
        self.node(name)?.machine()?;
        let at = Stamp::now();
        self.lan.run(&format!("ip link set {port} down"));
        let node = self.node_mut(name)?;
        if let Some(machine) = &node.machine {
            machine.net.kill_all();
        }
        node.agent = None;
        node.pods.clear();
        node.machine = None;
        // With the namespace the kernel removes the cable too, but on a worker of its own, later.
        let _ = self.lan.output(&format!("ip link del {port}"));
        Ok(at)
    }

    /// Boots a node that is off: its network and its pods, no agent yet.
    ///
    /// # Errors
    /// Where the kernel refuses something.
    pub fn boot_network(&mut self, name: &str) -> Result<()> {
        let (store, count) = (self.store(), u8::try_from(self.nodes.len())?);
        let at = self.nodes.iter().position(|node| node.name == name).context("no such node")?;
        let (around, node) = (&self.around, &mut self.nodes[at]);
        node.boot(around, &store, count)
    }

    /// Boots a node that is off, as its power button does: network, pods of `pods`, agent.
    ///
    /// # Errors
    /// Where the kernel refuses something or the binary is missing.
    pub fn boot(&mut self, name: &str, pods: &[PodSpec]) -> Result<()> {
        self.boot_network(name)?;
        for pod in pods.iter().filter(|pod| pod.node == name) {
            self.add_pod(pod)?;
        }
        self.start_agent(name)
    }

    /// Puts the CNI's masquerading back, after a foreign hand has flushed the whole rule set.
    ///
    /// # Errors
    /// Where the node is off.
    pub fn restore_cni(&self, name: &str) -> Result<()> {
        self.node(name)?.net()?.nft(&crate::manifest::masquerading());
        Ok(())
    }

    /// Pulls a node's cable (false) or plugs it in again.
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn set_link(&self, name: &str, up: bool) -> Result<Stamp> {
        let port = self.node(name)?.port();
        let at = Stamp::now();
        self.lan.run(&format!("ip link set {port} {}", if up { "up" } else { "down" }));
        Ok(at)
    }

    /// Loses everything on a node's cable in one direction.
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn cut(&self, name: &str, way: Way) -> Result<Stamp> {
        let port = self.node(name)?.port();
        let hook = match way {
            Way::FromNode => "ingress",
            Way::ToNode => "egress",
        };
        let at = Stamp::now();
        self.lan.nft(&format!(
            "table netdev lab-{hook}-{name} {{ chain cut {{
  type filter hook {hook} device \"{port}\" priority 0;
  drop
}}
}}\n"
        ));
        Ok(at)
    }

    /// Cuts a node off from all other nodes; the router and the watching host still reach it.
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn cut_from_nodes(&self, name: &str) -> Result<Stamp> {
        let port = self.node(name)?.port();
        let at = Stamp::now();
        self.lan.nft(&format!(
            "table bridge lab-{name} {{ chain cut {{ type filter hook forward priority 0;
  iifname \"{port}\" oifname \"p-*\" drop
  iifname \"p-*\" oifname \"{port}\" drop
}}
}}\n"
        ));
        Ok(at)
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

    /// Hides the store from one node under an empty mount.
    ///
    /// # Errors
    /// Where the node is off.
    pub fn cut_store(&self, name: &str) -> Result<Stamp> {
        self.node(name)?.machine()?.cover_store(true)?;
        Ok(Stamp::now())
    }

    /// Shows the store to a node again.
    ///
    /// # Errors
    /// Where it was not hidden.
    pub fn join_store(&self, name: &str) -> Result<()> {
        self.node(name)?.machine()?.cover_store(false)
    }

    /// Hides the store from every node that is on, and from the controller.
    ///
    /// # Errors
    /// Where a mount fails.
    pub fn cut_store_everywhere(&self) -> Result<Stamp> {
        for machine in self.machines() {
            machine.cover_store(true)?;
        }
        Ok(Stamp::now())
    }

    /// Shows the store to all again. A node that booted meanwhile sees it already.
    pub fn join_store_everywhere(&self) {
        for machine in self.machines() {
            let _ = machine.cover_store(false);
        }
    }

    fn machines(&self) -> impl Iterator<Item = &crate::machine::Machine> {
        self.nodes.iter().filter_map(|node| node.machine.as_ref()).chain([&self.control])
    }
}
