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
pub(crate) struct Leadership(watch::Receiver<Option<HeldLease>>);

/// The lease as this process has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldLease {
    /// Goes up whenever the lease is ours again after a time in which it was not.
    term: u64,
    /// Its end by this process's clock; renewals put it off.
    until: Instant,
}

#[cfg(test)]
impl HeldLease {
    pub(crate) fn of(term: u64, until: Instant) -> Self {
        Self { term, until }
    }
}

/// A time in which the lease was ours without a gap. A clone is the same term.
#[derive(Clone, Debug)]
pub(crate) struct LeaderTerm {
    leadership: Leadership,
    number: u64,
}

impl Leadership {
    /// Takes part in the election until the task is aborted.
    pub(crate) fn begin<S: ClusterState>(
        state: Arc<S>,
        identity: String,
    ) -> (Self, JoinHandle<()>) {
        let (held, receiver) = watch::channel(None);
        let task = tokio::spawn(take_part(state, identity, held));
        (Self(receiver), task)
    }

    /// What the test says it is.
    #[cfg(test)]
    pub(crate) fn of(held: watch::Receiver<Option<HeldLease>>) -> Self {
        Self(held)
    }

    /// The term that is ours now. A renewal that hangs ends it like one that is refused.
    pub(crate) fn term(&self) -> Option<LeaderTerm> {
        let held = self.held()?;
        Some(LeaderTerm { leadership: self.clone(), number: held.term })
    }

    fn held(&self) -> Option<HeldLease> {
        self.0.borrow().filter(|held| Instant::now() < held.until)
    }

    /// Waits until another term has begun, or has been seen to have ended.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The task is gone only when the process is ending.
            std::future::pending::<()>().await;
        }
    }
}

impl LeaderTerm {
    /// Whether the lease is still ours, and always was since the term began.
    pub(crate) fn is_ours(&self) -> bool {
        self.leadership.held().is_some_and(|held| held.term == self.number)
    }

    /// Waits until it is not: at the moment at which the lease is refused or runs out.
    pub(crate) async fn ended(&self) {
        let mut held = self.leadership.0.clone();
        loop {
            // What is sent after this wakes; renewals of the term are not sent, but found at its end.
            let until = held.borrow_and_update().map(|held| held.until);
            let Some(until) = until.filter(|_| self.is_ours()) else { return };
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                Ok(()) = held.changed() => {}
            }
        }
    }
}

impl PartialEq for LeaderTerm {
    /// Of one process.
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

async fn take_part<S: ClusterState>(
    state: Arc<S>,
    identity: String,
    held: watch::Sender<Option<HeldLease>>,
) {
    let mut terms = 0;
    loop {
        let begin = Instant::now();
        let answer = state.lead(&identity, SECONDS).await;
        if let Err(error) = &answer {
            warn!(%error, "cannot renew the leader lease");
        }
        let answer = answer.ok();
        let before = *held.borrow();
        let next = answered(before, terms, answer, (begin, Instant::now()));
        terms = next.map_or(terms, |next| next.term);
        if next.is_some() != before.is_some() {
            info!(event = "leading", leading = next.is_some(), identity, "leadership changed");
        }
        held.send_if_modified(|held| {
            *held = next;
            before.map(|before| before.term) != next.map(|next| next.term)
        });
        tokio::time::sleep(if answer == Some(true) { RENEW } else { LOOK }).await;
    }
}

/// The lease after an answer (`None`: an error) to a request that was made and answered at these moments;
/// `terms` is the number of the newest term.
fn answered(
    held: Option<HeldLease>,
    terms: u64,
    answer: Option<bool>,
    (asked, now): (Instant, Instant),
) -> Option<HeldLease> {
    let held = held.filter(|held| now < held.until);
    match answer {
        Some(true) => {
            // A renewal that was answered too late has left a gap, in which another may have led.
            let term = held.map_or(terms + 1, |held| held.term);
            Some(HeldLease { term, until: asked + Duration::from_secs(SECONDS.into()) })
        }
        Some(false) => None,
        // Nobody else gets it before it has run out; until then it is asked for again.
        None => held,
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

    async fn until_led(leadership: &mut Leadership) -> LeaderTerm {
        loop {
            match leadership.term() {
                Some(term) => return term,
                None => leadership.changed().await,
            }
        }
    }

    #[test]
    fn a_renewal_that_fails_ends_no_term_before_the_lease_runs_out() {
        let begin = Instant::now();
        let at = |seconds: f32| begin + Duration::from_secs_f32(seconds);
        let led = answered(None, 0, Some(true), (begin, at(0.1))).unwrap();
        assert_eq!((led.term, led.until), (1, at(4.0)));
        let failed = answered(Some(led), 1, None, (at(2.1), at(2.2)));
        assert_eq!(failed.map(|held| (held.term, held.until)), Some((1, at(4.0))), "not longer");
        let renewed = answered(failed, 1, Some(true), (at(2.5), at(2.6))).unwrap();
        assert_eq!((renewed.term, renewed.until), (1, at(6.5)), "the same term");
        assert!(answered(Some(led), 1, None, (at(3.9), at(4.0))).is_none(), "it has run out");
        assert!(answered(Some(led), 1, Some(false), (at(2.1), at(2.2))).is_none(), "refused");
        let again = answered(Some(led), 1, Some(true), (at(3.9), at(4.0))).unwrap();
        assert_eq!(again.term, 2, "answered too late");
    }

    #[tokio::test(start_paused = true)]
    async fn a_term_ends_at_the_moment_at_which_the_lease_runs_out() {
        let begin = Instant::now();
        let second = |n: u64| begin + Duration::from_secs(n);
        let (lease, receiver) = watch::channel(Some(HeldLease::of(1, second(4))));
        let term = Leadership::of(receiver).term().unwrap();
        let ended = tokio::spawn({
            let term = term.clone();
            async move {
                term.ended().await;
                Instant::now()
            }
        });
        tokio::time::sleep_until(second(3)).await;
        // As a renewal does: it tells nobody.
        lease.send_if_modified(|held| {
            *held = Some(HeldLease::of(1, second(7)));
            false
        });
        tokio::time::sleep_until(second(6)).await;
        assert!(!ended.is_finished() && term.is_ours(), "renewed");
        let late = ended.await.unwrap() - second(7);
        assert!(late <= Duration::from_millis(1), "the timer's grain: {late:?}");
    }

    #[tokio::test]
    async fn a_lease_that_comes_back_is_another_term() {
        let until = Instant::now() + Duration::from_secs(3600);
        let (lease, receiver) = watch::channel(Some(HeldLease::of(1, until)));
        let leadership = Leadership::of(receiver);
        let first = leadership.term().unwrap();
        lease.send_replace(Some(HeldLease::of(2, until)));
        first.ended().await;
        assert!(!first.is_ours());
        let second = leadership.term().unwrap();
        assert!(second.is_ours() && second != first);
    }

    #[tokio::test]
    async fn a_dead_leader_is_replaced_and_one_that_stops_lets_go() {
        let directory = tempfile::tempdir().unwrap();
        DirectoryState::create(directory.path()).unwrap();
        let state = Arc::new(DirectoryState::open(directory.path()).unwrap());
        let (mut first, election) = Leadership::begin(state.clone(), "first".to_owned());
        let first_term = until_led(&mut first).await;
        let other = Arc::new(DirectoryState::open(directory.path()).unwrap());
        let (mut second, _election) = Leadership::begin(other, "second".to_owned());
        tokio::time::sleep(RENEW + LOOK).await;
        assert!(first_term.is_ours() && second.term().is_none(), "renewed beside whatever it does");
        election.abort();
        let begin = Instant::now();
        let second = until_led(&mut second).await;
        assert!(first.term().is_none() && !first_term.is_ours(), "never two");
        assert!(begin.elapsed() > Duration::from_secs(1), "its lease had to run out");
        give_up(&*state, "first").await;
        assert!(second.is_ours(), "a lease of another is not given up");
    }
}
