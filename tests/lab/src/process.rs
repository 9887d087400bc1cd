use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::clock::wait_until;

/// A process of the laboratory, with its log file. Dropping it kills the process.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command`; what it prints is appended to `log`.
    ///
    /// # Errors
    /// Where the program or the log cannot be opened.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(log)?;
        let copy: File = file.try_clone()?;
        // A group of its own: Ctrl-C at the terminal reaches the laboratory alone, which then ends
        // its processes in its own way.
        command.stdin(Stdio::null()).stdout(file).stderr(copy).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, signal).with_context(|| format!("{signal} to {pid}"))
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop (SIGTERM) and waits.
    ///
    /// # Errors
    /// Where it has not ended after `limit`; it is killed then.
    pub fn stop(&mut self, limit: Duration) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let ended = wait_until("the end of a process after SIGTERM", limit, || {
            self.child.try_wait().ok().flatten()
        });
        if ended.is_err() {
            self.kill();
        }
        ended.map(drop)
    }

    /// Resident memory in KiB, from /proc: all of it, and its anonymous part (what the process has
    /// allocated; the rest is the program's own file, which all agents of a host share).
    #[must_use]
    pub fn resident_kib(&self) -> Option<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let read = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        Some((read("VmRSS:")?, read("RssAnon:")?))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The binary under test: `named`, else the environment variable EGRET, else beside this program
/// (or beside the folder `deps` that test programs are in).
///
/// # Errors
/// Where it is not there, with the sentence that says how to build it.
pub fn binary(named: Option<&Path>) -> Result<PathBuf> {
    let from_env = std::env::var_os("EGRET").map(PathBuf::from);
    let beside = std::env::current_exe().ok().and_then(|exe| {
        let dir = exe.parent()?;
        Some(if dir.ends_with("deps") { dir.parent()? } else { dir }.join("egret"))
    });
    let candidates = [named.map(Path::to_owned), from_env, beside];
    let Some(path) = candidates.into_iter().flatten().next() else {
        anyhow::bail!("this program does not know where it is: set EGRET to the binary");
    };
    anyhow::ensure!(
        path.is_file(),
        "no binary at {}: build it (cargo build -p egret; make test does) or set EGRET",
        path.display()
    );
    Ok(std::fs::canonicalize(path)?)
}
