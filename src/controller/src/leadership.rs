//! The leader lease, beside the turns: a turn of a thousand writes must not cost it.

use std::sync::Arc;
use std::time::Duration;

use egret_ports::cluster_state::ClusterState;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};

/// How long the lease lasts, in seconds; renewed after [`RENEW`].
const SECONDS: u32 = 4;
const RENEW: Duration = Duration::from_secs(2);
/// How often one that does not lead looks whether it may: a dead leader is replaced in under 5 s.
const LOOK: Duration = Duration::from_millis(250);

/// Whether this process leads. A clone is the same leadership.
#[derive(Clone, Debug)]
pub(crate) struct Leadership(watch::Receiver<Option<Instant>>);

impl Leadership {
    /// Takes part in the election until the task is aborted.
    pub(crate) fn begin<S: ClusterState>(
        state: Arc<S>,
        identity: String,
    ) -> (Self, JoinHandle<()>) {
        let (until, receiver) = watch::channel(None);
        let task = tokio::spawn(take_part(state, identity, until));
        (Self(receiver), task)
    }

    /// Whether the lease is ours now. A renewal that hangs ends it like one that is refused.
    pub(crate) fn is_ours(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until a renewal or a look has been answered.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The task is gone only when the process is ending.
            std::future::pending::<()>().await;
        }
    }
}

async fn take_part<S: ClusterState>(
    state: Arc<S>,
    identity: String,
    until: watch::Sender<Option<Instant>>,
) {
    loop {
        let begin = Instant::now();
        let ours = match state.lead(&identity, SECONDS).await {
            Ok(ours) => ours,
            Err(error) => {
                warn!(%error, "cannot renew the leader lease");
                false
            }
        };
        let next = ours.then(|| begin + Duration::from_secs(SECONDS.into()));
        if next.is_some() != until.borrow().is_some() {
            info!(event = "leading", leading = ours, identity, "leadership changed");
        }
        until.send_if_modified(|before| {
            let changed = before.is_some() != next.is_some();
            *before = next;
            changed
        });
        tokio::time::sleep(if ours { RENEW } else { LOOK }).await;
    }
}

/// Lets another lead at once.
pub(crate) async fn give_up<S: ClusterState>(state: &S, identity: &str) {
    if let Err(error) = state.lead(identity, 0).await {
        warn!(%error, "cannot give up the leader lease: it runs out by itself");
    }
}

#[cfg(test)]
mod tests {
    use egret_state::DirectoryState;

    use super::*;

    async fn until_led(leadership: &mut Leadership) {
        while !leadership.is_ours() {
            leadership.changed().await;
        }
    }

    #[tokio::test]
    async fn a_dead_leader_is_replaced_and_one_that_stops_lets_go() {
        let directory = tempfile::tempdir().unwrap();
        DirectoryState::create(directory.path()).unwrap();
        let state = Arc::new(DirectoryState::open(directory.path()).unwrap());
        let (mut first, election) = Leadership::begin(state.clone(), "first".to_owned());
        until_led(&mut first).await;
        let other = Arc::new(DirectoryState::open(directory.path()).unwrap());
        let (mut second, _election) = Leadership::begin(other, "second".to_owned());
        tokio::time::sleep(RENEW + LOOK).await;
        assert!(first.is_ours() && !second.is_ours(), "renewed beside whatever it does");
        election.abort();
        let begin = Instant::now();
        until_led(&mut second).await;
        assert!(!first.is_ours(), "never two");
        assert!(begin.elapsed() > Duration::from_secs(1), "its lease had to run out");
        give_up(&*state, "first").await;
        assert!(second.is_ours(), "a lease of another is not given up");
    }
}
