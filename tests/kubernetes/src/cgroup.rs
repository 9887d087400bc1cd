//! The control groups of a cluster: where its processes are found again, whatever became of their
//! parents.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use egret_lab::wait_until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const MOUNT: &str = "/sys/fs/cgroup";

/// The groups of one worker, `CLUSTER/WORKER` in every hierarchy: `system` for what it is made of,
/// `pods` for what it runs.
#[derive(Clone, Debug)]
pub(crate) struct Cgroup {
    path: String,
}

impl Cgroup {
    /// Names the groups of `worker`; makes nothing.
    pub(crate) fn new(cluster: &str, worker: &str) -> Self {
        Self { path: format!("{cluster}/{worker}") }
    }

    /// What a kubelet has to be told: its root for pods, without the mount point.
    pub(crate) fn pods(&self) -> String {
        format!("/{}/pods", self.path)
    }

    /// Makes the groups; there may be some already.
    pub(crate) fn create(&self) -> Result<()> {
        for hierarchy in hierarchies() {
            for leaf in ["pods", "system"] {
                let mut dir = hierarchy.clone();
                for part in self.path.split('/').chain([leaf]) {
                    delegate(&dir);
                    dir.push(part);
                    fs::create_dir_all(&dir).with_context(|| {
                        format!("{}: control groups need root and a writable mount", dir.display())
                    })?;
                    inherit_cpuset(&dir);
                    raise_share(&dir);
                }
            }
        }
        Ok(())
    }

    /// The file that takes a process into `system`. One hierarchy is enough to find it by.
    pub(crate) fn entrance(&self) -> PathBuf {
        let first = hierarchies().into_iter().next().unwrap_or_else(|| MOUNT.into());
        first.join(&self.path).join("system/cgroup.procs")
    }

    /// Kills everything in the groups, and whatever it forks meanwhile.
    ///
    /// # Errors
    /// Where something is still there after 10 s.
    pub(crate) fn kill(&self) -> Result<()> {
        kill_below(&self.path)
    }
}

/// Kills everything in a cluster's groups and removes them.
pub(crate) fn remove(cluster: &str) -> Result<()> {
    kill_below(cluster)?;
    for hierarchy in hierarchies() {
        remove_dirs(&hierarchy.join(cluster));
    }
    Ok(())
}

fn kill_below(path: &str) -> Result<()> {
    let dirs: Vec<_> = hierarchies().into_iter().map(|dir| dir.join(path)).collect();
    wait_until("the end of killed processes", Duration::from_secs(10), || {
        let mut pids = BTreeSet::new();
        for dir in &dirs {
            members(dir, &mut pids);
        }
        for pid in &pids {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        pids.is_empty().then_some(())
    })
}

fn members(dir: &Path, pids: &mut BTreeSet<i32>) {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for child in children(dir) {
        members(&child, pids);
    }
}

fn remove_dirs(dir: &Path) {
    for child in children(dir) {
        remove_dirs(&child);
    }
    let _ = fs::remove_dir(dir);
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// The one hierarchy of cgroup v2, or every controller's of v1.
fn hierarchies() -> Vec<PathBuf> {
    let mount = Path::new(MOUNT);
    if mount.join("cgroup.controllers").exists() {
        return vec![mount.to_owned()];
    }
    let mut found = children(mount);
    // Links such as `cpu` are the same hierarchy again.
    found.retain(|dir| !dir.is_symlink());
    found.sort();
    found
}

/// In v2 a group's children have the controllers that it hands on; in v1 there is no such file.
fn delegate(dir: &Path) {
    for controller in ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"] {
        // Those that the kernel lacks are refused, each by itself.
        let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// A group weighs as much as one process of its parent by default: five machines together would get
/// as little of a busy CPU as a single compiler.
fn raise_share(dir: &Path) {
    let shares = dir.join("cpu.shares");
    if shares.exists() {
        // Without it the machines are slow, not wrong.
        let _ = fs::write(shares, "16384");
    }
}

/// In v1 a new cpuset is empty, and nothing may run in it.
fn inherit_cpuset(dir: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let Some(parent) = dir.parent() else { return };
        let own = fs::read_to_string(dir.join(file)).unwrap_or_default();
        if let (true, Ok(text)) = (own.trim().is_empty(), fs::read(parent.join(file))) {
            let _ = fs::write(dir.join(file), text);
        }
    }
}
