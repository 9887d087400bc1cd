//! Notices what others do to our part of the kernel.
//!
//! Two threads, one for links, routes and rules, one for the SNAT back end, each blocked until a
//! notice comes; they end when the receiver of the changes is dropped. They write nothing: whoever
//! reads the channel calls the `ensure`s and the back end, which write only what is missing. Our own
//! writes are noticed too; a check after them costs one netlink request.

mod candidates;
mod changed_part;
mod rtnetlink;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use egret_ports::error::PortError;
use egret_ports::steering::{Steering, SteeringChange};
use tokio::sync::mpsc;

use crate::constants::HostSettings;
use crate::netlink::refused;

pub use changed_part::ChangedPart;

/// A change that nobody has read makes further ones of its kind redundant.
const QUEUE: usize = 256;

/// Something of ours was changed, by us or by others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelChange {
    /// What.
    pub what: ChangedPart,
    /// When this process read the kernel's word.
    pub at: Instant,
    /// Whose transaction it was, such as `nft (4711)`, where the kernel says.
    pub by: Option<String>,
}

/// Listens in the network namespace of the calling thread until the receiver is dropped.
///
/// Guarantees: what happens after this returns is noticed, or [`ChangedPart::Unknown`] is sent.
///
/// # Errors
/// `Denied` or `Invalid` where the kernel refuses the sockets; `Transient` where no thread could be
/// made.
pub fn watch(
    settings: &HostSettings,
    steering: &dyn Steering,
) -> Result<mpsc::Receiver<KernelChange>, PortError> {
    let operation = || "listen to the kernel's notices";
    let mut links =
        rtnetlink::RtnetlinkWatcher::new(settings).map_err(|e| refused(operation(), e))?;
    let mut rules = steering.watch()?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let sender = Arc::new(sender);
    start("egret-links", move || links.wait(), Arc::clone(&sender))
        .map_err(|e| refused(operation(), e))?;
    start("egret-tables", move || rules.wait().map(named), sender)
        .map_err(|e| refused(operation(), e))?;
    Ok(receiver)
}

/// A change, and whose transaction it was.
type Change = (ChangedPart, Option<String>);

fn named(changes: Vec<SteeringChange>) -> Vec<Change> {
    let named = |change| match change {
        SteeringChange::Rules { what, by } => (ChangedPart::Rules(what), by),
        SteeringChange::Unknown => (ChangedPart::Unknown, None),
    };
    changes.into_iter().map(named).collect()
}

/// Runs `next`, which waits for notices for a while, in a thread of its own.
fn start(
    name: &str,
    mut next: impl FnMut() -> Result<Vec<Change>, PortError> + Send + 'static,
    sender: Arc<mpsc::Sender<KernelChange>>,
) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        while !sender.is_closed() {
            let changes = match next() {
                Ok(changes) => changes,
                Err(error) => {
                    tracing::error!(%error, "the kernel's notices cannot be read any more");
                    return;
                }
            };
            let at = Instant::now();
            for (what, by) in changes {
                // A full queue says as much as one more change in it would.
                let _ = sender.try_send(KernelChange { what, at, by });
            }
        }
    })?;
    Ok(())
}
