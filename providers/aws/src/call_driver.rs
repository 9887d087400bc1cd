//! The loop around the pure functions: read, decide, make one call, read again until it shows.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use egret_core::model::NodeName;
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::locks::Locks;
use egret_ports::provider::Inventory;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::call::Ec2Call;
use crate::ec2::Ec2;
use crate::errors::CallFailure;
use crate::journal::{Doubt, Journal};
use crate::options::AwsOptions;
use crate::place::{InterfaceRules, PlacementInputs};
use crate::plan::Step;
use crate::scan::{Scan, ScanScope, Scanner};
use crate::snapshot::{CallEffect, Ec2Snapshot};

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
    /// How long a change is waited for to be seen.
    settle: Duration,
    journal: Mutex<Journal>,
    /// Of interfaces alone: that several addresses share one is known to nobody else.
    locks: Locks,
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
            scanner: Scanner::default(),
            cache: options.cache,
            settle: options.settle,
            journal: Mutex::new(Journal::new(options.horizon)),
            locks: Locks::default(),
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
    async fn read(&self, inventory: &Inventory, since: Instant) -> Result<Arc<Scan>, CallFailure> {
        let scope = ScanScope::new(inventory, &self.asked());
        self.scanner.read(&self.ec2, &scope, since, self.cache).await
    }

    /// What `look` finds in a read that begins now, with what that may not show yet.
    pub async fn observe<T>(
        &self,
        look: impl FnOnce(&PlacementInputs<'_>) -> T,
    ) -> Result<T, CallFailure> {
        let inventory = self.inventory.borrow().clone();
        let read = self.read(&inventory, Instant::now()).await?;
        let mut journal = self.journal();
        let view = journal.replay(read.began, &read.view);
        Ok(self.look(&journal, &inventory, (read.began, &view), look))
    }

    /// Decides by `view`, of a read that began at `began`, and what is known beside it.
    fn look<T>(
        &self,
        journal: &Journal,
        inventory: &Inventory,
        (began, view): (Instant, &Ec2Snapshot),
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
        let mut read = self.read(&inventory, began).await.map_err(|it| failed(aim, it))?;
        loop {
            let step = self.decide(&inventory, &read, aim, &decide, &settled);
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
            if let Some(call) = call {
                waiting = None;
                calls += 1;
                match self.make(&inventory, &read, aim, &call).await {
                    // What it has changed is known by its answer.
                    Ok(()) => {
                        pause = Duration::ZERO;
                        continue;
                    }
                    Err(failure) if may_be_stale(&call, &failure) => last = Some(failure),
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
            let read_anew = self.read(&inventory, Instant::now()).await;
            read = read_anew.map_err(|it| failed(aim, it))?;
        }
    }

    /// The next step, with what it takes reserved; `Done` says whether the read shows it too.
    fn decide<T: PartialEq>(
        &self,
        inventory: &Inventory,
        read: &Scan,
        aim: CallContext<'_>,
        decide: &impl Fn(&PlacementInputs<'_>) -> Step<T>,
        settled: &impl Fn(&T, &Ec2Snapshot, &mut Journal),
    ) -> Step<(T, bool)> {
        let mut journal = self.journal();
        let view = journal.replay(read.began, &read.view);
        match self.look(&journal, inventory, (read.began, &view), decide) {
            Step::Done(value) => {
                let raw = self.look(&journal, inventory, (read.began, &read.view), decide);
                let seen = matches!(&raw, Step::Done(shown) if *shown == value);
                if seen {
                    settled(&value, &read.view, &mut journal);
                }
                Step::Done((value, seen))
            }
            Step::Call(call) => {
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

    /// Makes a call, one at a time on each interface, and notes what became of it.
    async fn make(
        &self,
        inventory: &Inventory,
        read: &Scan,
        aim: CallContext<'_>,
        call: &Ec2Call,
    ) -> Result<(), CallFailure> {
        let interface = call.interface();
        let _alone = self.locks.lock(interface).await;
        let doubts = call.doubts();
        let (before, begun) = {
            let mut journal = self.journal();
            let before: Vec<_> = doubts.iter().map(|(of, _)| (*of, journal.doubt(*of))).collect();
            for (address, doubt) in &doubts {
                journal.begin(*address, *doubt);
            }
            let any = matches!(call, Ec2Call::AssignAny { .. });
            (before, any.then(|| journal.begin_any(interface)))
        };
        let mut flight =
            Flight { journal: &self.journal, interface, begun, doubts, answered: false };
        let answer = self.ec2.change(call).await;
        if let Ok(effects) = &answer {
            claim(&mut self.journal(), inventory, &read.view, aim, call, effects);
        }
        flight.answered = answer.as_ref().err().is_none_or(|failure| failure.refused);
        drop(flight);
        let mut journal = self.journal();
        match answer {
            Ok(effects) => {
                tracing::info!(?call, node = %aim.node, "EC2: {}", aim.operation);
                for effect in effects {
                    journal.note(effect);
                }
                Ok(())
            }
            Err(failure) => {
                if failure.refused {
                    for (address, doubt) in before {
                        journal.refused(address, doubt);
                    }
                }
                let full = failure.code.as_deref() == Some("PrivateIpAddressLimitExceeded");
                if full && matches!(call, Ec2Call::AssignPrivate { .. } | Ec2Call::AssignAny { .. })
                {
                    let view = journal.replay(read.began, &read.view);
                    let used = view.interfaces.get(interface).map(|it| it.used(true));
                    journal.mark_full(interface, used.unwrap_or_default());
                }
                Err(failure)
            }
        }
    }
}

/// A call, until it has an answer or nobody waits for one any more: without an answer it may have
/// been carried out as late as then.
struct Flight<'a> {
    journal: &'a Mutex<Journal>,
    interface: &'a str,
    /// Of a call for addresses of EC2's choice.
    begun: Option<Instant>,
    doubts: Vec<(IpAddr, Doubt)>,
    answered: bool,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = self.begun {
            journal.end_any(self.interface, begun, self.answered);
        }
        if !self.answered {
            for (address, doubt) in &self.doubts {
                journal.begin(*address, *doubt);
            }
        }
    }
}

/// Secondary addresses that a call has got for Elastic IPs are theirs.
fn claim(
    journal: &mut Journal,
    inventory: &Inventory,
    read: &Ec2Snapshot,
    aim: CallContext<'_>,
    call: &Ec2Call,
    effects: &[CallEffect],
) {
    let got = effects.iter().filter_map(|effect| match effect {
        CallEffect::At { address: IpAddr::V4(address), .. } => Some(*address),
        _ => None,
    });
    let wanted: Vec<Ipv4Addr> = match call {
        Ec2Call::AssignAny { wanted, .. } => wanted.iter().copied().collect(),
        Ec2Call::AssignPrivate { address, .. }
            if !inventory.addresses.contains_key(&IpAddr::from(*address)) =>
        {
            let carried = |public: &&Ipv4Addr| {
                let at = read.elastic.get(public).and_then(|elastic| elastic.association.as_ref());
                at.is_some_and(|at| at.private == *address)
            };
            read.elastic.keys().filter(carried).copied().collect()
        }
        _ => Vec::new(),
    };
    for (public, wire) in wanted.into_iter().zip(got) {
        journal.claim(public, aim.node, wire);
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
