//! What loads, oracles and scenarios need of a laboratory, whatever its nodes are made of.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock::WallTime;
use crate::cloud::LabCloud;
use crate::journal::LabJournal;
use crate::network::LabNetwork;
use crate::wire::Mac;

/// A port block: node, address, first and last port.
pub type PortBlock = (String, IpAddr, u16, u16);

/// Where a pod's packets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodNet {
    /// The file that names its network namespace.
    pub path: String,
    /// IPv4 and IPv6.
    pub addresses: [IpAddr; 2],
}

/// A laboratory: of [`crate::Lab`]'s nodes, or of workers of a real Kubernetes cluster.
pub trait TestBed {
    /// What [`TestBed::stop_control_plane`] does, as a heading.
    const STOPPED: &'static str;
    /// What [`TestBed::start_control_plane`] does, as a heading.
    const STARTED: &'static str;
    /// Within this time a node that boots may vote.
    const BOOT_LIMIT: Duration;

    /// What surrounds its nodes.
    fn network(&self) -> &LabNetwork;

    /// The same, to reserve ports.
    fn network_mut(&mut self) -> &mut LabNetwork;

    /// A pod by its name, on whichever node.
    ///
    /// # Errors
    /// Where no such pod runs.
    fn pod_net(&self, name: &str) -> Result<PodNet>;

    /// The names of all nodes, gateways first.
    fn names(&self) -> Vec<String>;

    /// The hardware address of a node's uplink.
    fn mac_of(&self, name: &str) -> Option<Mac>;

    /// Whether what surrounds the nodes lets one gateway alone send for an address. What others send is
    /// then dropped there, and does no harm (docs/design.md decision 9).
    fn fabric_fences(&self, _address: IpAddr) -> bool {
        false
    }

    /// What Egret's processes have said.
    fn journal(&self) -> &LabJournal;

    /// Every object of one of Egret's kinds, parsed.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    fn objects(&self, kind: &str) -> Result<Vec<serde_json::Value>>;

    /// Copies logs to the directory that the environment variable `EGRET_LAB_KEEP` names, where it
    /// names one; returns where they are.
    fn keep(&self) -> Option<PathBuf>;

    /// What a person would look at first after a failure, in lines.
    fn diagnose(&self) -> Vec<String>;

    /// Takes a node's power away: the link is down at once, then every process is killed and the
    /// kernel's state, /run and the pins are gone. Returns the moment.
    ///
    /// # Errors
    /// Where the node is off.
    fn power_off(&mut self, node: &str) -> Result<WallTime>;

    /// Boots a node that is off, with Egret on it; nothing has to be ready yet.
    ///
    /// # Errors
    /// Where it does not come up.
    fn boot(&mut self, node: &str) -> Result<()>;

    /// Kills a node's agent with SIGKILL; returns the moment.
    ///
    /// # Errors
    /// Where it does not run.
    fn kill_agent(&mut self, node: &str) -> Result<WallTime>;

    /// Starts a node's agent, where nothing else does that by itself.
    ///
    /// # Errors
    /// Where that fails.
    fn start_agent(&mut self, node: &str) -> Result<()>;

    /// Waits until a node's agent has started since `since`.
    ///
    /// # Errors
    /// Where it does not in time.
    fn await_agent(&self, node: &str, since: WallTime) -> Result<()>;

    /// Freezes a node's agent (SIGSTOP), the kernel goes on; returns the moment.
    ///
    /// # Errors
    /// Where it does not run.
    fn freeze_agent(&self, node: &str) -> Result<WallTime>;

    /// Lets a frozen agent go on; returns the moment.
    ///
    /// # Errors
    /// Where it does not run.
    fn thaw_agent(&self, node: &str) -> Result<WallTime>;

    /// Writes a claim of the namespace `payments` into the store.
    ///
    /// # Errors
    /// Where the store refuses it.
    fn apply_claim(&self, name: &str, manifest: &str) -> Result<()>;

    /// Removes a claim of the namespace `payments`.
    ///
    /// # Errors
    /// Where there is none.
    fn delete_claim(&self, name: &str) -> Result<()>;

    /// Makes the store unreachable for all, people and controllers too; returns the moment.
    ///
    /// # Errors
    /// Where that fails.
    fn cut_store(&mut self) -> Result<WallTime>;

    /// Makes it reachable again, and starts what had to end for it.
    ///
    /// # Errors
    /// Where that fails.
    fn restore_store(&mut self) -> Result<()>;

    /// Makes the store unreachable for one node; returns the moment.
    ///
    /// # Errors
    /// Where the node is off.
    fn cut_from_store(&self, node: &str) -> Result<WallTime>;

    /// Cuts a node that is [cut from the store](TestBed::cut_from_store) off from all other nodes too;
    /// the router and the watching host still reach it. Returns the moment.
    ///
    /// # Errors
    /// Where there is no such node.
    fn cut_from_nodes(&self, node: &str) -> Result<WallTime>;

    /// Ends both cuts of a node.
    ///
    /// # Errors
    /// Where it is not cut off.
    fn reconnect(&self, node: &str) -> Result<()>;

    /// Stops the store, and the controllers where they would go on without it.
    ///
    /// # Errors
    /// Where that fails.
    fn stop_control_plane(&mut self) -> Result<()>;

    /// Starts both again.
    ///
    /// # Errors
    /// Where that fails.
    fn start_control_plane(&mut self) -> Result<()>;

    /// Waits until every node that is on counts as ready, where something else than Egret says so.
    ///
    /// # Errors
    /// Where one does not in time.
    fn await_nodes(&self) -> Result<()> {
        Ok(())
    }

    /// Waits until every process of Egret counts as ready, where something else than Egret says so.
    ///
    /// # Errors
    /// Where one does not in time.
    fn await_egret(&self) -> Result<()> {
        Ok(())
    }

    /// Runs a person's `egret` command against the store, which has to succeed; returns what it
    /// printed.
    ///
    /// # Errors
    /// Where it fails, with what it printed.
    fn run_egret(&self, arguments: &[&str]) -> Result<String>;

    /// The cloud around the nodes.
    ///
    /// # Errors
    /// On a LAN.
    fn cloud(&self) -> Result<&LabCloud> {
        bail!("this laboratory has no cloud")
    }

    /// The node that the fabric delivers an address to; `None` on a LAN, where whoever answers for
    /// an address has it.
    fn delivered_to(&self, address: IpAddr) -> Option<String> {
        self.cloud().ok()?.attached_to(address)
    }

    /// The names of the nodes that may hold addresses.
    fn gateways(&self) -> Vec<String> {
        self.names().into_iter().filter(|name| name.starts_with("gateway-")).collect()
    }

    /// The name of the node whose uplink has this hardware address.
    fn name_of(&self, mac: Mac) -> Option<String> {
        self.names().into_iter().find(|name| self.mac_of(name) == Some(mac))
    }

    /// The port blocks that have not ended.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    fn blocks(&self) -> Result<Vec<PortBlock>> {
        let mut found = Vec::new();
        for object in self.objects("EgressNode")? {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            for block in object["spec"]["blocks"].as_array().into_iter().flatten() {
                let port = |end: &str| u16::try_from(block["ports"][end].as_u64()?).ok();
                let address = block["address"].as_str().and_then(|text| text.parse().ok());
                if let (Some(address), Some(first), Some(last), true) =
                    (address, port("first"), port("last"), block["ended"].is_null())
                {
                    found.push((name.to_owned(), address, first, last));
                }
            }
        }
        Ok(found)
    }

    /// Two nodes that have the same port of the same address.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    fn double_grant(&self) -> Result<Option<[PortBlock; 2]>> {
        let blocks = self.blocks()?;
        Ok(blocks.iter().enumerate().find_map(|(at, a)| {
            let overlaps = |b: &&PortBlock| a.1 == b.1 && a.2 <= b.3 && b.2 <= a.3;
            blocks[at + 1..].iter().find(overlaps).map(|b| [a.clone(), b.clone()])
        }))
    }

    /// The holder of an address as the store has it.
    fn recorded_holder(&self, address: IpAddr) -> Option<String> {
        let objects = self.objects("EgressAddress").ok()?;
        let of = |object: &serde_json::Value| {
            let text = object["spec"]["address"].as_str()?;
            (text.parse::<IpAddr>().ok()? == address).then_some(())
        };
        let own = objects.iter().find(|object| of(object).is_some())?;
        own["status"]["holding"]["node"].as_str().map(str::to_owned)
    }
}
