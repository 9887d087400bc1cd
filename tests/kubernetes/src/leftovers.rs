//! What a killed process left behind: found by the process id in the names of directories.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const PREFIX: &str = "egret-kubernetes-";

/// A directory whose name tells whose it is.
pub(crate) fn directory() -> Result<TempDir> {
    let prefix = format!("{PREFIX}{}-", std::process::id());
    Ok(tempfile::Builder::new().prefix(&prefix).tempdir()?)
}

/// Removes what processes that are gone left behind; returns what it removed.
///
/// # Errors
/// Where the temporary directory cannot be read or something cannot be removed.
pub fn cleanup() -> Result<Vec<String>> {
    let mut removed = remove_where(|pid| !Path::new(&format!("/proc/{pid}")).exists())?;
    removed.extend(egret_lab::cleanup()?);
    Ok(removed)
}

/// Removes everything of this process, for its way out on a signal, where nothing is dropped.
pub fn cleanup_own() {
    let own = std::process::id();
    let _ = remove_where(|pid| pid == own);
    egret_lab::cleanup_own();
}

/// From now on Ctrl-C, SIGTERM and SIGHUP remove everything of this process and end it with 130.
pub fn end_on_signal() {
    egret_lab::on_signal(cleanup_own);
}

fn remove_where(doomed: impl Fn(u32) -> bool) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for entry in std::fs::read_dir(std::env::temp_dir())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if owner(&name).is_some_and(&doomed) {
            remove(&entry.path())?;
            removed.push(entry.path().display().to_string());
        }
    }
    Ok(removed)
}

/// Ends everything that works in `dir` or in its control groups, and removes both.
fn remove(dir: &Path) -> Result<()> {
    crate::cgroup::remove(&dir.file_name().unwrap_or_default().to_string_lossy())?;
    kill_at(dir);
    match std::fs::remove_dir_all(dir) {
        // Several that start at once find the same, and another was first.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.with_context(|| dir.display().to_string()),
    }
}

/// Kills every process that works in `dir` or whose command line names something below it, and
/// waits for their end.
pub(crate) fn kill_at(dir: &Path) {
    let _ = egret_lab::wait_until("the end of killed processes", Duration::from_secs(5), || {
        let pids = processes_at(dir);
        for pid in &pids {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        pids.is_empty().then_some(())
    });
}

fn processes_at(dir: &Path) -> Vec<i32> {
    let (own, needle) = (std::process::id().cast_signed(), format!("{}/", dir.display()));
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own)
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let inside = std::fs::read_link(format!("/proc/{pid}/cwd"));
            String::from_utf8_lossy(&line).contains(&needle)
                || inside.is_ok_and(|path| path.starts_with(dir))
        })
        .collect()
}

/// The process that made a directory of ours: `egret-kubernetes-PID-RANDOM`.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_have_an_owner() {
        assert_eq!(owner("egret-kubernetes-4711-abc"), Some(4711));
        assert_eq!(owner("egret-lab-4711-abc"), None);
        assert_eq!(owner("egret-kubernetes-x"), None);
    }
}
