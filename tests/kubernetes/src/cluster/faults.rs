use anyhow::{Result, ensure};
use egret_lab::Stamp;

use super::Cluster;
use crate::kubectl::succeeded;

impl Cluster {
    /// Takes a worker's power away: the link is down at once, then every process is killed and the
    /// kernel's state, /run and the pins are gone. Returns the moment.
    ///
    /// # Errors
    /// Where the worker is off.
    pub fn power_off(&mut self, name: &str) -> Result<Stamp> {
        self.worker(name)?.net()?;
        let at = Stamp::now();
        self.around.lan.run(&format!("ip link set p-{name} down"));
        for worker in self.workers.iter_mut().filter(|worker| worker.name == name) {
            worker.kill();
        }
        let _ = self.around.lan.output(&format!("ip link del p-{name}"));
        Ok(at)
    }

    /// Boots a worker that is off; returns when its kubelet has been started.
    ///
    /// # Errors
    /// Where it is on, or does not come up.
    pub fn boot(&mut self, name: &str) -> Result<()> {
        ensure!(!self.worker(name)?.is_on(), "{name} is on");
        for worker in self.workers.iter_mut().filter(|worker| worker.name == name) {
            worker.boot(&self.around)?;
            worker.join()?;
        }
        Ok(())
    }

    /// Pulls a worker's cable (false) or plugs it in again. Returns the moment.
    ///
    /// # Errors
    /// Where there is no such worker.
    pub fn set_link(&self, name: &str, up: bool) -> Result<Stamp> {
        self.worker(name)?;
        let at = Stamp::now();
        self.around.lan.run(&format!("ip link set p-{name} {}", if up { "up" } else { "down" }));
        Ok(at)
    }

    /// Cuts a worker off from the switch's ports that `peers` names (`p-control`, `p-gateway-2`, or
    /// `p-*` for all other workers and the API server); the router and the watching host still
    /// reach it. Returns the moment.
    ///
    /// # Errors
    /// Where there is no such worker.
    pub fn cut(&self, name: &str, peers: &str) -> Result<Stamp> {
        self.worker(name)?;
        let at = Stamp::now();
        self.around.lan.nft(&format!(
            "table bridge cut-{name} {{ chain forward {{ type filter hook forward priority 0;
  iifname \"p-{name}\" oifname \"{peers}\" drop
  iifname \"{peers}\" oifname \"p-{name}\" drop
}}
}}\n"
        ));
        Ok(at)
    }

    /// Ends every cut of a worker.
    ///
    /// # Errors
    /// Where there is none.
    pub fn heal(&self, name: &str) -> Result<()> {
        let line = format!("nft delete table bridge cut-{name}");
        let output = self.around.lan.output(&line);
        succeeded("lan", &[&line], &output).map(drop)
    }
}
