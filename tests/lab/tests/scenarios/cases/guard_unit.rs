//! The unit that loads the guard at a boot, under systemd itself: process 1 of namespaces of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::wait_until;

/// As it is delivered.
const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/systemd/egret-guard.service");
const SYSTEMD: &str = "/lib/systemd/systemd";
/// A bound, not an expectation.
const PATIENCE: Duration = Duration::from_secs(30);
/// What starts pods: each writes down which tables it finds.
const RUNTIMES: [&str; 2] = ["containerd", "kubelet"];
/// What a boot goes through, each after the one before.
const TARGETS: [&str; 3] = ["sysinit", "basic", "multi-user"];

/// Whoever starts pods finds the guard there where the unit is enabled, and no table of Egret's where it is not.
pub fn run(_: &mut Bench) -> Result<()> {
    for enabled in [true, false] {
        let machine = BootedMachine::boot(enabled)?;
        for runtime in RUNTIMES {
            let found = wait_until(&format!("{runtime}.service"), PATIENCE, || {
                fs::read_to_string(machine.dir.path().join(runtime)).ok()
            })
            .with_context(|| machine.log())?;
            ensure!(
                found.contains("table inet egret") == enabled,
                "{runtime} of a machine with the unit enabled: {enabled}: {found:?}: {}",
                machine.log()
            );
        }
    }
    Ok(())
}

/// Its process 1 is systemd.
struct BootedMachine {
    dir: tempfile::TempDir,
    cgroup: PathBuf,
    init: Child,
}

impl BootedMachine {
    fn boot(enabled: bool) -> Result<Self> {
        ensure!(Path::new(SYSTEMD).exists(), "{SYSTEMD} is missing: apt-get install systemd");
        let dir = tempfile::tempdir()?;
        let units = dir.path().join("units");
        write_units(&units, dir.path(), enabled)?;
        fs::create_dir(dir.path().join("egret"))?;
        fs::write(
            dir.path().join("egret/guard.json"),
            r#"{"pods":[{"first":"10.244.1.0","last":"10.244.1.255"}],
            "claimed":[{"first":"0.0.0.0","last":"255.255.255.255"}]}"#,
        )?;
        fs::write(dir.path().join("egret-cni"), "")?;
        fs::write(dir.path().join("init.sh"), init(dir.path(), &egret_lab::binary(None)?))?;
        let name = format!("egret-unit-{}", std::process::id());
        let cgroup = unified_hierarchy()?.join(name);
        fs::create_dir(&cgroup)?;
        let enter = format!(
            "echo $$ >'{}/cgroup.procs'; exec setpriv --pdeathsig KILL unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child \
             --mount-proc sh '{}/init.sh'",
            cgroup.display(),
            dir.path().display()
        );
        let log = fs::File::create(dir.path().join("log"))?;
        let init = Command::new("sh")
            .args(["-c", &enter])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { dir, cgroup, init })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for BootedMachine {
    fn drop(&mut self) {
        // Its namespace of processes ends with process 1, which ends with its parent.
        let _ = self.init.kill();
        let _ = self.init.wait();
        let gone = || remove_groups(&self.cgroup).ok();
        if let Err(error) = wait_until("the machine's end", PATIENCE, gone) {
            eprintln!("{}: {error:#}", self.cgroup.display());
        }
    }
}

/// Egret's unit as it is delivered, what it goes before, and no other of this machine's.
fn write_units(units: &Path, found: &Path, enabled: bool) -> Result<()> {
    let wanted = units.join("multi-user.target.wants");
    fs::create_dir_all(&wanted)?;
    fs::copy(UNIT, units.join("egret-guard.service"))?;
    let mut before = None;
    for target in TARGETS.into_iter().chain(["shutdown"]) {
        let after =
            before.map(|before| format!("Requires={before}.target\nAfter={before}.target\n"));
        let text = format!("[Unit]\nDefaultDependencies=no\n{}", after.unwrap_or_default());
        fs::write(units.join(format!("{target}.target")), text)?;
        before = Some(target).filter(|target| *target != "shutdown");
    }
    for runtime in RUNTIMES {
        let file = found.join(runtime).display().to_string();
        let text = format!(
            "[Service]\nType=oneshot\nRemainAfterExit=yes\n\
             ExecStart=/bin/sh -c 'nft list tables >{file}.part && mv {file}.part {file}'\n"
        );
        fs::write(units.join(format!("{runtime}.service")), text)?;
        symlink(format!("../{runtime}.service"), wanted.join(format!("{runtime}.service")))?;
    }
    if enabled {
        symlink("../egret-guard.service", wanted.join("egret-guard.service"))?;
    }
    Ok(())
}

/// Gives the machine folders of its own where it writes, the plugin's program and the guard.
fn init(dir: &Path, egret: &Path) -> String {
    format!(
        "set -e
mount --bind '{egret}' '{dir}/egret-cni'
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tmpfs tmpfs /opt
mkdir -p /opt/cni/bin
ln -s '{dir}/egret-cni' /opt/cni/bin/egret-cni
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/egret
mount --bind '{dir}/egret' /var/lib/egret
exec env -i PATH=\"$PATH\" container=egret SYSTEMD_UNIT_PATH='{dir}/units' SYSTEMD_GENERATOR_PATH='{dir}/none' \
         SYSTEMD_ENVIRONMENT_GENERATOR_PATH='{dir}/none' {SYSTEMD} --system --unit=multi-user.target \
         --show-status=no --log-target=console
",
        dir = dir.display(),
        egret = egret.display(),
    )
}

/// Where control groups of version 2 are, beside those of version 1 or alone.
fn unified_hierarchy() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let mut fields = mounts.lines().map(|line| line.split(' '));
    let mount = fields.find_map(|mut of| {
        let (_, mount, kind) = (of.next()?, of.next()?, of.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(mount))
    });
    mount.context("no control groups of version 2 are mounted")
}

/// The innermost first.
fn remove_groups(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
