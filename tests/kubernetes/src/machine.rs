use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use egret_netns::NetworkNamespace;

use crate::cgroup::Cgroup;

/// A booted worker: a network namespace, a host name, control groups, and a mount namespace with a bpffs, a
/// /sys and a /run of its own, a /var/lib/egret that survives, and the CNI's folders of every worker
/// at one path, /run/cni. Dropping it kills what runs in it.
///
/// The mount namespace and that of the host name live as long as their holder: a shell that ends when the
/// pipe to it closes, so that a test that is killed leaves none behind.
#[derive(Debug)]
pub(crate) struct WorkerMachine {
    pub(crate) net: NetworkNamespace,
    cgroup: Cgroup,
    holder: Child,
}

impl WorkerMachine {
    /// Boots: `dir` is what survives reboots.
    pub(crate) fn boot(name: &str, dir: &Path, cgroup: Cgroup) -> Result<Self> {
        cgroup.create()?;
        let net = NetworkNamespace::new(name);
        // The namespaces' files of all other workers are mounted below /run/netns: a copy of such
        // a mount would keep a worker's network alive after its power-off. Like systemd, share all
        // mounts in the end: a pod whose volume follows the host's mounts is refused otherwise.
        let script = format!(
            "set -e
echo '{name}' >/proc/sys/kernel/hostname
umount -R -l /run/netns 2>/dev/null || true
mkdir -p '{dir}/cgroup' '{dir}/egret' '{dir}/cni' '{dir}/cni-bin'
mount --rbind /sys/fs/cgroup '{dir}/cgroup'
mount -t sysfs sysfs /sys
mount --move '{dir}/cgroup' /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/egret /run/lock /run/cni/bin /run/cni/net.d
mount --bind '{dir}/cni-bin' /run/cni/bin
mount --bind '{dir}/cni' /run/cni/net.d
mount -t tmpfs -o mode=755 tmpfs /var/lib
mkdir /var/lib/egret
mount --bind '{dir}/egret' /var/lib/egret
mount --make-rshared /
echo ready
exec cat >/dev/null",
            dir = dir.display(),
        );
        let mut holder = net
            .command("unshare")
            .args(["--uts", "--mount", "--propagation", "private", "sh", "-c", &script])
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
        Ok(Self { net, cgroup, holder })
    }

    /// A command that will run on this machine, in its control group.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let entrance = self.cgroup.entrance();
        let script = format!("echo $$ >'{}' && exec \"$@\"", entrance.display());
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.net.path()))
            .arg(format!("--uts=/proc/{}/ns/uts", self.holder.id()))
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()))
            .args(["--wd=/", "--", "sh", "-c", &script, "sh"])
            .arg(program);
        command
    }
}

impl Drop for WorkerMachine {
    fn drop(&mut self) {
        let _ = self.cgroup.kill();
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
