//! Watchers that report what must not happen: packets with a wrong source, two gateways for one
//! address, two answers to one question.
//!
//! State: one thread each, inside the namespace that it watches, which alone writes what the
//! oracle's methods read. Always: dropping an oracle ends its thread.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};

mod answers;
mod commits;
mod datagrams;
mod gateways;
mod runs;
mod sources;

pub use answers::{Announcement, Answers, DoubleAnswer};
pub use commits::Commits;
pub use datagrams::Datagrams;
pub use gateways::GatewayOracle;
pub use runs::{Return, Run, Runs};
pub use sources::{Expect, Ledger, Sources, Wrong};

use crate::tap::{Frame, FrameTap};

/// A thread with a tap.
#[derive(Debug)]
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How long a watcher waits for a frame before it looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(50);

impl Watcher {
    /// Starts a thread in namespace `path` that gives every frame of `device` to `take`. Returns
    /// when the tap is open: what is sent from then on is seen.
    fn start(
        path: String,
        device: Option<&'static str>,
        mut take: impl FnMut(&Frame<'_>) + Send + 'static,
    ) -> Result<Self> {
        Self::run(path, device, move |tap, stop| {
            while !stop.load(Ordering::Relaxed) {
                match tap.next(PATIENCE) {
                    Ok(Some(frame)) => take(&frame),
                    Ok(None) => {}
                    Err(_) => return,
                }
            }
        })
    }

    fn run(
        path: String,
        device: Option<&'static str>,
        work: impl FnOnce(&mut FrameTap, &AtomicBool) + Send + 'static,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let (ready, opened) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let _inside = egret_netns::enter(&path);
            hurry();
            match FrameTap::open(device) {
                Ok(mut tap) => {
                    let _ = ready.send(Ok(()));
                    work(&mut tap, &seen);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        });
        opened.recv().map_err(|_| anyhow!("a watcher's thread ended"))??;
        Ok(Self { stop, thread: Some(thread) })
    }
}

/// Lets the calling thread run before others: a watcher that waits for a CPU is blind, and calls that
/// silence. It costs next to nothing, and is left out where it is not allowed.
fn hurry() {
    let thread = nix::unistd::gettid().to_string();
    let mut command = Command::new("renice");
    command.args(["-n", "-15", "-p", &thread]).stdin(Stdio::null());
    let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
