//! The guard of the next boot on this node's disk (`egret-guard`), and whether it was loaded in this one.
//!
//! State: the file, written by one thread of its own, since it waits for the disk. Always: the newest guard
//! is written last, and again where that failed.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fs, io};

use egret_core::model::{NodeName, Snapshot};
use egret_core::node_config::{BootGuard, boot_guard};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::AgentArgs;
use crate::cni::is_named;
use crate::error::AgentError;

/// What could not be written is tried again after this time.
const RETRY: Duration = Duration::from_secs(30);

/// Where the first agent of a boot says what it has found, in the folder that a reboot empties.
const AT_BOOT: &str = "guard-at-boot.json";

/// What became of the guard after this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum GuardAtBoot {
    /// It held off what it is for until the first agent ran.
    Loaded,
    /// Nothing had loaded it.
    NotLoaded,
    /// There was nothing to hold off, or nobody can tell.
    NothingToSay,
}

/// What became of the guard after this boot, before this agent has a table of its own.
///
/// # Errors
/// Where what was found cannot be kept for the next process.
fn at_boot(
    state_dir: &Path,
    run_dir: &Path,
    cni_conf_dir: Option<&Path>,
) -> io::Result<GuardAtBoot> {
    let path = run_dir.join(AT_BOOT);
    let kept = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(kept) = kept {
        return Ok(kept);
    }
    let loaded =
        egret_guard::is_loaded(&state_dir.join(egret_guard::FILE)).unwrap_or_else(|error| {
            warn!(%error, "cannot tell whether the guard was loaded");
            None
        });
    let found = judge(loaded, cni_conf_dir.is_some_and(is_named));
    fs::write(&path, serde_json::to_vec(&found)?)?;
    Ok(found)
}

/// A plugin that is `named` would have loaded it at the first pod: there was none yet.
fn judge(loaded: Option<bool>, named: bool) -> GuardAtBoot {
    match loaded {
        Some(true) => GuardAtBoot::Loaded,
        Some(false) if !named => GuardAtBoot::NotLoaded,
        _ => GuardAtBoot::NothingToSay,
    }
}

#[derive(Debug)]
pub(crate) struct GuardFile {
    state_dir: PathBuf,
    at_boot: GuardAtBoot,
    last: Option<BootGuard>,
    sender: Sender<BootGuard>,
    thread: JoinHandle<()>,
}

impl GuardFile {
    /// Before this agent has a table of its own.
    pub(crate) fn new(args: &AgentArgs) -> Result<Self, AgentError> {
        let AgentArgs { state_dir, run_dir, cni_conf_dir, .. } = args;
        let failed = |source| AgentError::Io { action: "keep what became of the guard", source };
        let at_boot = at_boot(state_dir, run_dir, cni_conf_dir.as_deref()).map_err(failed)?;
        let file = state_dir.join(egret_guard::FILE);
        let (sender, wanted) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("egret-guard".to_owned())
            .spawn(move || write(&file, &wanted))
            .map_err(|source| AgentError::Io { action: "start a thread", source })?;
        Ok(Self { state_dir: state_dir.clone(), at_boot, last: None, sender, thread })
    }

    /// What became of the guard after this boot.
    pub(crate) fn at_boot(&self) -> GuardAtBoot {
        self.at_boot
    }

    /// Has the file say what `me` is to hold off after its next boot. What claims select that cannot be read
    /// now stays as it was.
    pub(crate) fn keep(&mut self, snapshot: &Snapshot, me: &NodeName) {
        let mut guard = boot_guard(snapshot, me);
        if !snapshot.unreadable_claims.is_empty() {
            let Some(last) = &self.last else { return };
            guard.claimed.extend(&last.claimed);
        }
        if self.last.as_ref() != Some(&guard) {
            self.last = Some(guard.clone());
            // The thread ends after this value alone.
            let _ = self.sender.send(guard);
        }
    }

    /// Writes no more; the folder of the file.
    pub(crate) fn stop(self) -> PathBuf {
        drop(self.sender);
        // A panic in there has been told.
        let _ = self.thread.join();
        self.state_dir
    }
}

fn write(path: &Path, wanted: &Receiver<BootGuard>) {
    let mut failed: Option<BootGuard> = None;
    loop {
        let wait = if failed.is_some() { RETRY } else { Duration::MAX };
        let next = match wanted.recv_timeout(wait) {
            Ok(next) => wanted.try_iter().last().unwrap_or(next),
            Err(RecvTimeoutError::Timeout) => match failed.take() {
                Some(again) => again,
                None => continue,
            },
            Err(RecvTimeoutError::Disconnected) => return,
        };
        failed = None;
        if let Err(error) = egret_guard::keep(path, &next) {
            warn!(path = %path.display(), %error, "cannot keep the guard for the next boot");
            failed = Some(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_that_nothing_loaded_is_said_unless_no_pod_was_started() {
        let judged =
            [(Some(true), false), (Some(false), false), (Some(false), true), (None, false)];
        let judged = judged.map(|(loaded, named)| judge(loaded, named));
        let nothing = GuardAtBoot::NothingToSay;
        assert_eq!(judged, [GuardAtBoot::Loaded, GuardAtBoot::NotLoaded, nothing, nothing]);
    }

    #[test]
    fn what_the_first_agent_of_a_boot_found_holds_for_the_next() {
        let (state, run) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let found = || at_boot(state.path(), run.path(), None).unwrap();
        assert_eq!(found(), GuardAtBoot::NothingToSay, "there is no guard");
        fs::write(run.path().join(AT_BOOT), "\"notLoaded\"").unwrap();
        assert_eq!(found(), GuardAtBoot::NotLoaded);
        fs::write(run.path().join(AT_BOOT), "garbage").unwrap();
        assert_eq!(found(), GuardAtBoot::NothingToSay);
    }
}
