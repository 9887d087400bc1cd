//! Network namespaces for tests and the laboratory: made, entered, and removed when dropped.
//!
//! State: the namespaces under /var/run/netns whose names begin with `eg-`, each owned by one
//! [`NetworkNamespace`] value. Always: dropping it kills what runs in it and deletes it, also when a test
//! panics. Needs root and iproute2; says so where one is missing.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Write;
use std::marker::PhantomData;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use leftovers::{remove_dead, remove_own};

mod leftovers;

/// The longest that a namespace waits for its addresses to be finished; far more than a busy machine takes.
const SETTLED: Duration = Duration::from_secs(5);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace of this process's own, with loopback up.
#[derive(Debug)]
pub struct NetworkNamespace {
    name: String,
}

impl NetworkNamespace {
    /// Makes a namespace; `label` (at most 20 characters) becomes part of its unique name.
    ///
    /// # Panics
    /// Where the process lacks root or iproute2, with a sentence that says what to do.
    #[must_use]
    pub fn new(label: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("eg-{}-{number}-{label}", std::process::id());
        let made = checked(
            Command::new("ip").args(["netns", "add", &name]),
            "network namespaces need root and iproute2 (apt-get install iproute2; run as root)",
        );
        drop(made);
        let namespace = Self { name };
        namespace.run("ip link set lo up");
        namespace
    }

    /// The name, as `ip netns` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that names this namespace to `setns`, `nsenter` and netlink.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/var/run/netns/{}", self.name)
    }

    /// A command that will run inside. (`nsenter`, since `ip netns exec` remounts /sys.)
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg("--").arg(program);
        command
    }

    /// Runs a line of words (split at spaces, no quoting) inside and returns what it printed. IPv6 addresses
    /// are there when it returns, unless they wait for the detection of duplicates.
    ///
    /// # Panics
    /// Where it fails, with the line and what it printed.
    pub fn run(&self, line: &str) -> String {
        let output = self.output(line);
        assert!(
            output.status.success(),
            "in {}: `{line}` failed: {}{}",
            self.name,
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        self.settle(line);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a line of words inside and returns how it ended.
    ///
    /// # Panics
    /// Where the program cannot be started.
    pub fn output(&self, line: &str) -> Output {
        let mut words = line.split_whitespace();
        let Some(program) = words.next() else { panic!("an empty command line") };
        self.command(program)
            .args(words)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("cannot run `{line}`: {error}"))
    }

    /// Runs lines of `ip` arguments in one process, which is many times faster than one each. Of IPv6
    /// addresses as [`Self::run`] says.
    ///
    /// # Panics
    /// Where a line fails, with what `ip` printed.
    pub fn batch(&self, lines: &str) {
        let mut child = self
            .command("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run ip: {error}"));
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(lines.as_bytes());
        }
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("ip: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "in {}: ip -batch: {said}\n{lines}", self.name);
        self.settle(lines);
    }

    /// A work queue finishes what adds an IPv6 address, also where no duplicate is looked for: until then it
    /// is tentative and not local (`addrconf_dad_work`, net/ipv6/addrconf.c).
    fn settle(&self, lines: &str) {
        if !["addr add", "address add", " up", "a add"].iter().any(|part| lines.contains(part)) {
            return;
        }
        let _inside = self.enter();
        let begun = Instant::now();
        while has_unfinished_address() && begun.elapsed() < SETTLED {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Loads an nftables script.
    ///
    /// # Panics
    /// Where nft refuses it, with what it printed.
    pub fn nft(&self, script: &str) {
        let mut child = self
            .command("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run nft (apt-get install nftables): {error}"));
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(script.as_bytes());
        }
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("nft: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "in {}: nft: {said}\n{script}", self.name);
    }

    /// The processes that run inside.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        pids_of(&self.name)
    }

    /// Kills every process that runs inside, with SIGKILL.
    pub fn kill_all(&self) {
        kill_inside(&self.name);
    }

    /// Writes a sysctl, such as `net/ipv4/ip_forward`.
    ///
    /// # Panics
    /// Where the kernel refuses it.
    pub fn sysctl(&self, key: &str, value: &str) {
        let _inside = self.enter();
        std::fs::write(format!("/proc/sys/{key}"), value)
            .unwrap_or_else(|error| panic!("in {}: sysctl {key}={value}: {error}", self.name));
    }

    /// Moves the calling thread inside until the guard is dropped. Not for threads of an async
    /// runtime: a task may continue on another thread.
    ///
    /// # Panics
    /// Where the kernel refuses it.
    #[must_use]
    pub fn enter(&self) -> Inside {
        enter(&self.path())
    }
}

/// Moves the calling thread into the namespace that [`NetworkNamespace::path`] named, for threads that do
/// not own the namespace.
///
/// # Panics
/// Where it is gone or the kernel refuses it.
#[must_use]
pub fn enter(path: &str) -> Inside {
    let home = File::open("/proc/thread-self/ns/net").unwrap_or_else(|e| panic!("{e}"));
    let target = File::open(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    setns(target, CloneFlags::CLONE_NEWNET).unwrap_or_else(|e| panic!("setns: {e}"));
    Inside { home, _not_send: PhantomData }
}

impl Drop for NetworkNamespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Whether an address here is tentative although nobody looks for a duplicate of it.
fn has_unfinished_address() -> bool {
    // Flags of an address (linux/if_addr.h), in the fifth column.
    const TENTATIVE: u8 = 0x40;
    let no_detection = |link: &str| {
        let path = format!("/proc/sys/net/ipv6/conf/{link}/accept_dad");
        std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "0")
    };
    let shown = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
    shown.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let flags = words.get(4).and_then(|flags| u8::from_str_radix(flags, 16).ok()).unwrap_or(0);
        flags & TENTATIVE != 0 && words.get(5).is_some_and(|link| no_detection(link))
    })
}

/// A thread of this process that has entered the namespace is no reason to kill the process.
fn pids_of(name: &str) -> Vec<i32> {
    let output = Command::new("ip").args(["netns", "pids", name]).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let own = std::process::id().cast_signed();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid != own).collect()
}

fn kill_inside(name: &str) {
    for pid in pids_of(name) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn remove(name: &str) {
    kill_inside(name);
    let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
}

/// While it lives, the thread that made it is inside a namespace.
#[derive(Debug)]
pub struct Inside {
    home: File,
    _not_send: PhantomData<*const ()>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Err(error) = setns(&self.home, CloneFlags::CLONE_NEWNET)
            && !std::thread::panicking()
        {
            panic!("cannot leave the namespace: {error}");
        }
    }
}

/// Joins two namespaces by a veth pair, both ends up.
///
/// # Panics
/// Where a name is taken or the kernel refuses it.
pub fn veth(left: &NetworkNamespace, left_name: &str, right: &NetworkNamespace, right_name: &str) {
    let pair = ["link", "add", left_name, "netns", left.name(), "type", "veth", "peer", "name"];
    let made = checked(
        Command::new("ip").args(pair).args([right_name, "netns", right.name()]),
        "cannot make a veth pair",
    );
    drop(made);
    left.run(&format!("ip link set {left_name} up"));
    right.run(&format!("ip link set {right_name} up"));
}

fn checked(command: &mut Command, need: &str) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{need}: {error}"));
    assert!(output.status.success(), "{need}: {}", String::from_utf8_lossy(&output.stderr).trim());
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_namespaces_reach_each_other_and_are_gone_afterwards() {
        let left = NetworkNamespace::new("left");
        let right = NetworkNamespace::new("right");
        veth(&left, "eth0", &right, "eth0");
        left.run("ip addr add 192.0.2.1/24 dev eth0");
        right.run("ip addr add 192.0.2.2/24 dev eth0");
        left.run("ping -c 1 -W 1 192.0.2.2");
        let path = left.path();
        drop(left);
        assert!(!std::path::Path::new(&path).exists(), "{path} is still there");
    }
}
