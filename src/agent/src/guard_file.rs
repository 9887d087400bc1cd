//! The guard of the next boot on this node's disk (`egret-guard`).
//!
//! State: the file, written by one thread of its own, since it waits for the disk. Always: the newest guard
//! is written last, and again where that failed.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use egret_core::model::{NodeName, Snapshot};
use egret_core::node_config::{BootGuard, boot_guard};
use tracing::warn;

use crate::error::AgentError;

/// What could not be written is tried again after this time.
const RETRY: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct GuardFile {
    state_dir: PathBuf,
    last: Option<BootGuard>,
    sender: Sender<BootGuard>,
    thread: JoinHandle<()>,
}

impl GuardFile {
    pub(crate) fn new(state_dir: &Path) -> Result<Self, AgentError> {
        let file = state_dir.join(egret_guard::FILE);
        let (sender, wanted) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("egret-guard".to_owned())
            .spawn(move || write(&file, &wanted))
            .map_err(|source| AgentError::Io { action: "start a thread", source })?;
        Ok(Self { state_dir: state_dir.to_owned(), last: None, sender, thread })
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
