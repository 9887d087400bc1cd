//! The loop around the pure functions: read, decide, make one call, read again until it shows.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use egret_core::model::NodeName;
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::locks::Locks;
use egret_ports::merge::PendingChanges;
use egret_ports::provider::Inventory;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::call::{DecidedCall, Ec2Call};
use crate::ec2::Ec2;
use crate::errors::CallFailure;
use crate::journal::{Journal, Slot};
use crate::options::AwsOptions;
use crate::place::{InterfaceRules, PlacementInputs};
use crate::plan::Step;
use crate::scan::{Scan, ScanScope, Scanner};
use crate::snapshot::Ec2Snapshot;

mod make;

/// Between reads that wait for something; grows to the second one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long an Elastic IP may take to follow its private address before it is mapped anew.
const FOLLOW: Duration = Duration::from_secs(5);
/// More changes than anything needs: somebody else changes the same at the same time.
const MOST_CALLS: usize = 12;

/// Who asks, and for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallContext<'a> {
    pub operation: &'a str,
    pub node: &'a NodeName,
    pub until: Until,
}

/// How far a call is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// All that it takes has been answered.
    Accepted,
    /// Reads show it.
    Observed,
}

/// EC2, with what this process has read, done and asked there.
#[derive(Debug)]
pub(crate) struct CallDriver {
    pub ec2: Ec2,
    rules: InterfaceRules,
    inventory: watch::Receiver<Arc<Inventory>>,
    scanner: Scanner,
    /// How long what hardly changes is believed.
    cache: Duration,
    /// How long a change that can be made with others waits for them, and a read for who needs it too.
    collect: Duration,
    /// How long a change is waited for to be seen.
    settle: Duration,
    journal: Mutex<Journal>,
    /// Of interfaces and Elastic IPs: that several addresses share an interface is known to nobody else.
    locks: Locks,
    /// Of what one call can do: one task waits for its admission, with no interface locked.
    lines: Locks,
    /// Changes that wait for such a lock: what one call can do is one.
    pending: PendingChanges<DecidedCall, CallFailure>,
    /// Every address that this process was ever asked about.
    asked: Mutex<BTreeSet<IpAddr>>,
}

impl CallDriver {
    pub fn new(options: AwsOptions, inventory: watch::Receiver<Arc<Inventory>>, ec2: Ec2) -> Self {
        Self {
            ec2,
            rules: InterfaceRules {
                tags: options.interface_tags,
                managed: options.managed_interfaces,
            },
            inventory,
            scanner: Scanner::new(options.collect),
            cache: options.cache,
            collect: options.collect,
            settle: options.settle,
            journal: Mutex::new(Journal::new(options.horizon)),
            locks: Locks::default(),
            lines: Locks::default(),
            pending: PendingChanges::default(),
            asked: Mutex::default(),
        }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on these addresses are read too.
    pub fn ask(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).extend(addresses);
    }

    fn asked(&self) -> BTreeSet<IpAddr> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a scan that began at `since` or later read.
    async fn read(
        &self,
        inventory: &Inventory,
        since: Instant,
        cache: Duration,
    ) -> Result<Arc<Scan>, CallFailure> {
        let scope = ScanScope::new(inventory, &self.asked());
        self.scanner.read(&self.ec2, &scope, since, cache).await
    }

    /// What `look` finds in a read that begins now, with what that may not show yet.
    pub async fn observe<T>(
        &self,
        look: impl FnOnce(&PlacementInputs<'_>) -> T,
    ) -> Result<T, CallFailure> {
        let inventory = self.inventory.borrow().clone();
        let read = self.read(&inventory, Instant::now(), self.cache).await?;
        let mut journal = self.journal();
        let view = journal.replay(read.began, &read.view);
        Ok(self.look(&journal, &inventory, (read.began, &view), &BTreeSet::new(), look))
    }

    /// Decides by `view`, of a read that began at `began`, and what is known beside it; `own` are slots that
    /// whoever asks has reserved.
    fn look<T>(
        &self,
        journal: &Journal,
        inventory: &Inventory,
        (began, view): (Instant, &Ec2Snapshot),
        own: &BTreeSet<Slot>,
        decide: impl FnOnce(&PlacementInputs<'_>) -> T,
    ) -> T {
        let scene = PlacementInputs {
            view,
            inventory,
            wires: journal.wires(),
            doubts: &journal.doubts(began),
            full: &journal.full(),
            pending: &journal.pending(began),
            in_flight: journal.in_flight(),
            reserved: &journal.reserved(own, view),
            asked: &self.asked(),
            rules: &self.rules,
        };
        decide(&scene)
    }

    /// Goes on until `decide` says that it is so: by what is known, and, where that is asked for, by
    /// what is read; says whether a read shows it. `settled` hears of that before anybody else
    /// decides anything.
    pub async fn drive<T: PartialEq>(
        &self,
        aim: CallContext<'_>,
        decide: impl Fn(&PlacementInputs<'_>) -> Step<T>,
        settled: impl Fn(&T, &Ec2Snapshot, &mut Journal),
    ) -> Result<(T, bool), PortError> {
        let inventory = self.inventory.borrow().clone();
        let began = Instant::now();
        let (mut pause, mut calls) = (PAUSES.0, 0);
        let (mut waiting, mut last) = (None, None);
        let mut slots = ReservedSlots::none(&self.journal);
        // What hardly changes is read again by scans: nobody waits for those.
        let cache = if aim.until == Until::Accepted { Duration::MAX } else { self.cache };
        let mut read = self.read(&inventory, began, cache).await.map_err(|it| failed(aim, it))?;
        loop {
            let decided = Instant::now();
            let step = self.decide(&inventory, &read, aim, (&decide, &settled), &mut slots.own);
            let call = match step {
                Step::Done((value, seen)) if seen || aim.until == Until::Accepted => {
                    return Ok((value, seen));
                }
                Step::Refuse(refusal) => {
                    return Err(PortError::new(refusal.class, aim.operation, refusal.message));
                }
                Step::Call(call) if calls < MOST_CALLS => Some(call),
                Step::Wait(call) => {
                    let since = *waiting.get_or_insert_with(Instant::now);
                    call.filter(|_| since.elapsed() > FOLLOW && calls < MOST_CALLS)
                }
                Step::Done(_) | Step::Call(_) => None,
            };
            if let Some(call) = call.map(|call| DecidedCall { call, decided }) {
                waiting = None;
                calls += 1;
                let still = || self.is_still(&inventory, &read, &decide, &slots.own, &call.call);
                match Box::pin(self.make(&inventory, &read, aim, &call, still)).await {
                    // What it has changed is known by its answer.
                    Ok(()) => {
                        pause = Duration::ZERO;
                        continue;
                    }
                    // It is marked: the next interface takes it, or it is refused.
                    Err(failure) if failure.is_interface_full() => {
                        pause = Duration::ZERO;
                        last = Some(failure);
                        continue;
                    }
                    Err(failure) if may_be_stale(&call.call, &failure) => last = Some(failure),
                    Err(failure) => return Err(failed(aim, failure)),
                }
            }
            if began.elapsed() > self.settle {
                return Err(match last {
                    Some(failure) => failed(aim, failure),
                    None => not_seen(aim),
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).clamp(PAUSES.0, PAUSES.1);
            let read_anew = self.read(&inventory, Instant::now(), cache).await;
            read = read_anew.map_err(|it| failed(aim, it))?;
        }
    }

    /// The next step, with what it takes reserved; `Done` says whether the read shows it too.
    fn decide<T: PartialEq>(
        &self,
        inventory: &Inventory,
        read: &Scan,
        aim: CallContext<'_>,
        (decide, settled): (
            &impl Fn(&PlacementInputs<'_>) -> Step<T>,
            &impl Fn(&T, &Ec2Snapshot, &mut Journal),
        ),
        own: &mut BTreeSet<Slot>,
    ) -> Step<(T, bool)> {
        let mut journal = self.journal();
        let view = journal.replay(read.began, &read.view);
        let step = self.look(&journal, inventory, (read.began, &view), own, decide);
        journal.release(own);
        own.clear();
        match step {
            Step::Done(value) => {
                let raw = self.look(&journal, inventory, (read.began, &read.view), own, decide);
                let seen = matches!(&raw, Step::Done(shown) if *shown == value);
                if seen {
                    settled(&value, &read.view, &mut journal);
                }
                Step::Done((value, seen))
            }
            Step::Call(call) => {
                *own = call.slots();
                journal.reserve(own.clone());
                match &call {
                    Ec2Call::Associate { public, private, .. } => {
                        journal.claim(*public, aim.node, *private);
                    }
                    // What carried it is given back next.
                    Ec2Call::Disassociate { public, .. } => {
                        let elastic = view.elastic.get(public);
                        if let Some(at) = elastic.and_then(|elastic| elastic.association.as_ref()) {
                            journal.claim(*public, aim.node, at.private);
                        }
                    }
                    _ => {}
                }
                Step::Call(call)
            }
            Step::Wait(call) => Step::Wait(call),
            Step::Refuse(refusal) => Step::Refuse(refusal),
        }
    }

    /// Whether `call` is still the next step, by what this process has done since the read.
    fn is_still<T>(
        &self,
        inventory: &Inventory,
        read: &Scan,
        decide: &impl Fn(&PlacementInputs<'_>) -> Step<T>,
        own: &BTreeSet<Slot>,
        call: &Ec2Call,
    ) -> bool {
        let mut journal = self.journal();
        let view = journal.replay(read.began, &read.view);
        let step = self.look(&journal, inventory, (read.began, &view), own, decide);
        matches!(step, Step::Call(next) | Step::Wait(Some(next)) if next == *call)
    }
}

/// The slots that one task has reserved, for as long.
struct ReservedSlots<'a> {
    journal: &'a Mutex<Journal>,
    own: BTreeSet<Slot>,
}

impl<'a> ReservedSlots<'a> {
    fn none(journal: &'a Mutex<Journal>) -> Self {
        Self { journal, own: BTreeSet::new() }
    }
}

impl Drop for ReservedSlots<'_> {
    fn drop(&mut self) {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).release(&self.own);
    }
}

/// Whether such an answer only says that the read which led to the call was an old one.
fn may_be_stale(call: &Ec2Call, failure: &CallFailure) -> bool {
    let gone = matches!(failure.class, ErrorClass::Invalid | ErrorClass::NotFound);
    let takes = matches!(
        call,
        Ec2Call::UnassignPrivate { .. }
            | Ec2Call::UnassignIpv6 { .. }
            | Ec2Call::Disassociate { .. }
    );
    // The address is still at another interface; the wire address is no longer there.
    let gives = matches!(call, Ec2Call::AssignIpv6 { .. } | Ec2Call::Associate { .. });
    (takes && gone) || (gives && failure.class == ErrorClass::Invalid)
}

fn failed(aim: CallContext<'_>, failure: CallFailure) -> PortError {
    PortError::new(failure.class, aim.operation, failure)
}

fn not_seen(aim: CallContext<'_>) -> PortError {
    let late = "EC2 does not show it yet, or somebody else changes it at the same time";
    PortError::new(ErrorClass::Transient, aim.operation, late)
}
