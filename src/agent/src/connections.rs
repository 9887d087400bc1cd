//! Connections that end with the pod that had them, on a thread of its own.
//!
//! State: what is to be forgotten, and by which steering config. Always: one thing at a time, so that
//! what an ended pod had is not taken from the next pod that has its address; a new pod goes first.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use egret_core::node_config::SteeringConfig;
use egret_datapath::HostSettings;
use egret_datapath::conntrack::{self, StaleScope};
use egret_ports::error::{ErrorClass, PortError};
use ipnet::IpNet;
use tokio::sync::oneshot;
use tracing::warn;

use crate::pod_owners::without;

/// Addresses for one step: a new pod waits for no longer.
const ADDRESSES: usize = 8;
/// Where the kernel refuses, this often at once.
const ATTEMPTS: usize = 3;
/// And then after this long, again and again.
const RETRY: Duration = Duration::from_secs(10);

/// What is to be done, and by what.
#[derive(Debug, Default)]
struct Pending {
    arrived: Vec<(BTreeSet<IpNet>, oneshot::Sender<()>)>,
    ended: BTreeSet<IpNet>,
    stale: BTreeMap<IpNet, StaleScope>,
    /// What the kernel has refused, and when it is tried again.
    refused: BTreeMap<IpNet, StaleScope>,
    retry_at: Option<Instant>,
    config: Arc<SteeringConfig>,
    closed: bool,
}

/// One thing to do.
#[derive(Debug)]
enum ForgetStep {
    /// Of addresses that nobody has, or that nobody has used yet: who waits for it is told.
    Pods(BTreeSet<IpNet>, Option<oneshot::Sender<()>>),
    /// Of addresses that somebody has: what leaves otherwise than the config says.
    Stale(BTreeSet<IpNet>, StaleScope, Arc<SteeringConfig>),
}

impl Pending {
    fn next(&mut self, now: Instant) -> Option<ForgetStep> {
        if self.retry_at.take_if(|at| *at <= now).is_some() {
            for (source, scope) in std::mem::take(&mut self.refused) {
                self.make_stale([source], scope);
            }
        }
        while !self.arrived.is_empty() {
            let (addresses, done) = self.arrived.remove(0);
            if done.is_closed() {
                self.pass_on(addresses);
                continue;
            }
            // These were of the pod before.
            self.leave_out(&addresses);
            return Some(ForgetStep::Pods(addresses, Some(done)));
        }
        if !self.ended.is_empty() {
            let some: BTreeSet<IpNet> = self.ended.iter().copied().take(ADDRESSES).collect();
            self.ended.retain(|address| !some.contains(address));
            self.stale.retain(|address, _| !some.contains(address));
            return Some(ForgetStep::Pods(some, None));
        }
        let scope = *self.stale.values().next_back()?;
        let of_scope = self.stale.iter().filter(|(_, of)| **of == scope);
        let some: BTreeSet<IpNet> = of_scope.map(|(address, _)| *address).take(ADDRESSES).collect();
        self.stale.retain(|address, _| !some.contains(address));
        Some(ForgetStep::Stale(some, scope, self.config.clone()))
    }

    /// Other pods have these addresses and may run: not all that is there is of the pods before.
    fn pass_on(&mut self, addresses: BTreeSet<IpNet>) {
        self.ended = without(std::mem::take(&mut self.ended), addresses.iter());
        self.make_stale(addresses, StaleScope::All);
    }

    /// Nothing of what is pending for these addresses is to be done.
    fn leave_out(&mut self, addresses: &BTreeSet<IpNet>) {
        self.ended = without(std::mem::take(&mut self.ended), addresses.iter());
        self.stale.retain(|address, _| !addresses.contains(address));
        self.refused.retain(|address, _| !addresses.contains(address));
    }

    /// The kernel has refused a step. Another pod may have the address when it is tried again, so that
    /// then only that ends which leaves otherwise than it should.
    fn put_back(&mut self, step: &ForgetStep, now: Instant) {
        let (sources, scope) = match step {
            // Its plugin gives up, and the pod runs.
            ForgetStep::Pods(addresses, _) => (addresses, StaleScope::All),
            ForgetStep::Stale(sources, scope, _) => (sources, *scope),
        };
        for source in sources {
            let known = self.refused.entry(*source).or_insert(scope);
            *known = scope.max(*known);
        }
        self.retry_at = Some(now + RETRY);
    }

    fn make_stale(&mut self, sources: impl IntoIterator<Item = IpNet>, scope: StaleScope) {
        for source in sources {
            let known = self.stale.entry(source).or_insert(scope);
            *known = scope.max(*known);
        }
    }
}

/// Hands over what is to be forgotten; nothing here waits for the kernel.
#[derive(Debug)]
pub(crate) struct Connections {
    shared: Arc<(Mutex<Pending>, Condvar)>,
}

impl Connections {
    /// # Errors
    /// Where no thread can be had.
    pub(crate) fn spawn(settings: HostSettings) -> io::Result<Self> {
        let shared = Arc::new((Mutex::new(Pending::default()), Condvar::new()));
        let of_thread = shared.clone();
        std::thread::Builder::new()
            .name("connections".to_owned())
            .spawn(move || work(&of_thread, &settings))?;
        Ok(Self { shared })
    }

    /// The kernel holds `config`, which treats these sources otherwise than the one before: what has no
    /// answer begins anew.
    pub(crate) fn begin_anew(&self, config: &SteeringConfig, sources: BTreeSet<IpNet>) {
        self.put(|pending| {
            pending.config = Arc::new(config.clone());
            pending.make_stale(sources, StaleScope::Unanswered);
        });
    }

    /// Other pods have these addresses, and may have connections: those of the pods before end, as far
    /// as they leave otherwise.
    pub(crate) fn pass_on(&self, addresses: BTreeSet<IpNet>) {
        self.put(|pending| pending.pass_on(addresses));
    }

    /// The plugins of the pods that have these addresses have given up: the pods run, and what has not
    /// ended yet ends as where they are passed on.
    pub(crate) fn give_up(&self, addresses: &BTreeSet<IpNet>) {
        self.put(|pending| {
            let late = pending.ended.intersection(addresses).copied().collect();
            pending.pass_on(late);
        });
    }

    /// Nobody has these addresses.
    pub(crate) fn end(&self, addresses: BTreeSet<IpNet>) {
        self.put(|pending| pending.ended.extend(addresses));
    }

    /// A pod that has not begun has these addresses; `done` is used once nothing of another is left.
    pub(crate) fn arrive(&self, addresses: BTreeSet<IpNet>, done: oneshot::Sender<()>) {
        self.put(|pending| pending.arrived.push((addresses, done)));
    }

    fn put(&self, change: impl FnOnce(&mut Pending)) {
        let (pending, changed) = &*self.shared;
        change(&mut locked(pending));
        changed.notify_one();
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.put(|pending| pending.closed = true);
    }
}

/// Each change is whole, also where the other thread panicked.
fn locked(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work((pending, changed): &(Mutex<Pending>, Condvar), settings: &HostSettings) {
    loop {
        let step = {
            let mut pending = locked(pending);
            loop {
                if pending.closed {
                    return;
                }
                let now = Instant::now();
                if let Some(step) = pending.next(now) {
                    break step;
                }
                pending = match pending.retry_at {
                    None => changed.wait(pending).unwrap_or_else(PoisonError::into_inner),
                    Some(at) => {
                        let pause = at.saturating_duration_since(now);
                        let woken = changed.wait_timeout(pending, pause);
                        woken.unwrap_or_else(PoisonError::into_inner).0
                    }
                };
            }
        };
        match carry_out(&step, settings) {
            Ok(()) => step.tell(),
            Err(error) => {
                warn!(%error, "connections of a pod that has ended may go on with its egress address");
                // Without a right or a part of the kernel it would be refused for ever.
                if !matches!(error.class, ErrorClass::Denied | ErrorClass::Invalid) {
                    locked(pending).put_back(&step, Instant::now());
                }
            }
        }
    }
}

impl ForgetStep {
    /// It is done.
    fn tell(self) {
        if let Self::Pods(_, Some(done)) = self {
            // A plugin that has given up is no matter.
            let _ = done.send(());
        }
    }
}

fn carry_out(step: &ForgetStep, settings: &HostSettings) -> Result<(), PortError> {
    match step {
        ForgetStep::Pods(addresses, _) => attempt(|| conntrack::forget_pods(addresses)),
        ForgetStep::Stale(sources, scope, config) => {
            attempt(|| conntrack::forget_stale(settings, config, sources, *scope).map(drop))
        }
    }
}

fn attempt(mut forget: impl FnMut() -> Result<(), PortError>) -> Result<(), PortError> {
    let mut outcome = forget();
    for _ in 1..ATTEMPTS {
        if outcome.is_ok() {
            break;
        }
        outcome = forget();
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> BTreeSet<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// What is done next: of which addresses, whether a plugin waits, and in which scope.
    fn next(pending: &mut Pending) -> Option<(BTreeSet<IpNet>, bool, Option<StaleScope>)> {
        pending.next(Instant::now()).map(|step| match step {
            ForgetStep::Pods(addresses, done) => (addresses, done.is_some(), None),
            ForgetStep::Stale(sources, scope, _) => (sources, false, Some(scope)),
        })
    }

    #[test]
    fn a_new_pod_goes_first_and_what_was_of_the_pod_before_is_not_done_to_it() {
        let ended = nets(&["10.0.0.1/32", "10.0.0.2/32"]);
        let mut pending = Pending { ended, ..Pending::default() };
        pending.make_stale(nets(&["10.0.0.1/32", "10.0.0.3/32"]), StaleScope::All);
        let (done, _plugin) = oneshot::channel();
        pending.arrived.push((nets(&["10.0.0.1/32"]), done));
        assert_eq!(next(&mut pending), Some((nets(&["10.0.0.1/32"]), true, None)));
        assert_eq!(next(&mut pending), Some((nets(&["10.0.0.2/32"]), false, None)));
        let third = (nets(&["10.0.0.3/32"]), false, Some(StaleScope::All));
        assert_eq!(next(&mut pending), Some(third));
        assert_eq!(next(&mut pending), None);
    }

    #[test]
    fn a_step_is_small_and_the_wider_scope_counts() {
        let mut pending = Pending::default();
        let all: Vec<String> = (0..20).map(|last| format!("10.0.0.{last}/32")).collect();
        pending.make_stale(all.iter().map(|net| net.parse().unwrap()), StaleScope::Unanswered);
        pending.make_stale(nets(&["10.0.0.4/32"]), StaleScope::All);
        pending.make_stale(nets(&["10.0.0.4/32"]), StaleScope::Unanswered);
        let mut steps = Vec::new();
        while let Some((sources, _, scope)) = next(&mut pending) {
            steps.push((sources.len(), scope.unwrap()));
        }
        steps.sort_unstable();
        let rest = StaleScope::Unanswered;
        assert_eq!(steps, [(1, StaleScope::All), (3, rest), (8, rest), (8, rest)]);
    }

    #[test]
    fn what_a_range_had_is_not_taken_from_a_new_pod_in_it() {
        let mut pending = Pending { ended: nets(&["10.0.0.0/31"]), ..Pending::default() };
        let (done, _plugin) = oneshot::channel();
        pending.arrived.push((nets(&["10.0.0.1/32"]), done));
        assert_eq!(next(&mut pending), Some((nets(&["10.0.0.1/32"]), true, None)));
        assert_eq!(next(&mut pending), Some((nets(&["10.0.0.0/32"]), false, None)));
    }

    #[test]
    fn a_pod_whose_plugin_has_given_up_runs_and_keeps_what_leaves_as_it_should() {
        let first = || nets(&["10.0.0.1/32"]);
        let mut pending = Pending { ended: first(), ..Pending::default() };
        pending.arrived.push((first(), oneshot::channel().0));
        assert_eq!(next(&mut pending), Some((first(), false, Some(StaleScope::All))));
        assert_eq!(next(&mut pending), None);
    }

    #[test]
    fn what_is_refused_is_tried_again_later_unless_a_new_pod_has_come() {
        let (first, second) = (nets(&["10.0.0.1/32"]), nets(&["10.0.0.2/32"]));
        let now = Instant::now();
        let mut pending = Pending { ended: &first | &second, ..Pending::default() };
        let step = pending.next(now).unwrap();
        pending.put_back(&step, now);
        assert!(pending.next(now).is_none());
        let (done, _plugin) = oneshot::channel();
        pending.arrived.push((first, done));
        assert!(matches!(pending.next(now), Some(ForgetStep::Pods(_, Some(_)))));
        assert!(pending.next(now).is_none());
        let Some(ForgetStep::Stale(sources, scope, _)) = pending.next(now + RETRY) else {
            panic!("it is forgotten")
        };
        assert_eq!((sources, scope), (second, StaleScope::All));
        assert!(pending.next(now + RETRY).is_none());
    }
}
