use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use egret_netns::NetworkNamespace;

use crate::host_bus::HostBus;

/// Where every machine sees the store.
pub(crate) const STORE: &str = "/run/egret-store";

/// A booted machine: a network namespace and a mount namespace with a bpffs, a /sys and a /run of
/// its own. Dropping it is a power-off.
///
/// The mount namespace lives as long as its holder: a shell that ends when the pipe to it closes,
/// so that a laboratory that is killed leaves none behind.
#[derive(Debug)]
pub(crate) struct NodeMachine {
    pub(crate) net: NetworkNamespace,
    holder: Child,
    /// `None` only while it ends.
    host: Option<HostBus>,
}

impl NodeMachine {
    /// Boots: `store` is shared with others, `state` survives reboots.
    pub(crate) fn boot(name: &str, store: &Path, state: &Path) -> Result<Self> {
        let net = NetworkNamespace::new(name);
        let script = format!(
            "set -e
mount -t sysfs sysfs /sys
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/egret /run/dbus {STORE}
mount --bind '{store}' {STORE}
mount -t tmpfs -o mode=755 tmpfs /var/lib
mkdir /var/lib/egret
mount --bind '{state}' /var/lib/egret
echo ready
exec cat >/dev/null",
            store = store.display(),
            state = state.display(),
        );
        let mut holder = net
            .command("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("unshare --mount (apt-get install util-linux)")?;
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.trim() != "ready" {
            let _ = holder.kill();
            let _ = holder.wait();
            bail!("cannot make the mounts of {name}: needs root, bpffs and sysfs in the kernel");
        }
        let host = HostBus::start(&format!("/proc/{}/root/run", holder.id()))?;
        Ok(Self { net, holder, host: Some(host) })
    }

    /// A command that will run on this machine.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.net.path()))
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()))
            .arg("--wd=/")
            .arg("--")
            .arg(program);
        command
    }

    /// systemd begins to shut the machine down. It stops nothing by itself.
    pub(crate) fn shut_down(&self) {
        if let Some(host) = &self.host {
            host.shut_down();
        }
    }

    /// Runs a shell line here; an error carries what it printed.
    pub(crate) fn shell(&self, line: &str) -> Result<String> {
        let output = self.command("sh").args(["-c", line]).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            bail!(
                "`{line}` on {}: {}{}",
                self.net.name(),
                String::from_utf8_lossy(&output.stderr),
                String::from_utf8_lossy(&output.stdout)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Hides the store under an empty mount, or shows it again.
    pub(crate) fn cover_store(&self, covered: bool) -> Result<()> {
        let line = if covered {
            format!("mount -t tmpfs -o mode=755 cut {STORE}")
        } else {
            // Lazily: a process may be inside at this moment.
            format!("umount -l {STORE}")
        };
        self.shell(&line).map(drop)
    }
}

impl Drop for NodeMachine {
    fn drop(&mut self) {
        // Its socket lies in the mount namespace.
        self.host = None;
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
