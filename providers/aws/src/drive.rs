//! The loop around the pure functions: read, decide, make one call, read again until it shows.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use egret_core::model::NodeName;
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::Inventory;
use tokio::time::Instant;

use crate::Aws;
use crate::errors::Failure;
use crate::journal::{Doubt, Journal};
use crate::place::Scene;
use crate::plan::{Call, Step};
use crate::scan::Scope;
use crate::view::{Effect, View};

/// Between reads that wait for something; grows to the second one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long an Elastic IP may take to follow its private address before it is mapped anew.
const FOLLOW: Duration = Duration::from_secs(5);
/// More changes than anything needs: somebody else changes the same at the same time.
const MOST_CALLS: usize = 12;

/// Who asks, and for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim<'a> {
    pub operation: &'a str,
    pub node: &'a NodeName,
}

impl Aws {
    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ask(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).extend(addresses);
    }

    fn asked(&self) -> BTreeSet<IpAddr> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a scan that began at `since` or later read.
    pub(crate) async fn read(
        &self,
        inventory: &Inventory,
        since: Instant,
    ) -> Result<Arc<View>, Failure> {
        let scope = Scope::new(inventory, &self.asked());
        self.scanner.read(&self.ec2, &scope, since, self.options.cache).await
    }

    /// Decides by `read` and what is known beside it.
    pub(crate) fn look<T>(
        &self,
        journal: &Journal,
        inventory: &Inventory,
        view: &View,
        decide: impl FnOnce(&Scene<'_>) -> T,
    ) -> T {
        let scene = Scene {
            view,
            inventory,
            wires: journal.wires(),
            doubts: &journal.doubts(),
            full: &journal.full(),
            pending: &journal.pending(),
            in_flight: journal.in_flight(),
            asked: &self.asked(),
            rules: &self.rules,
        };
        decide(&scene)
    }

    /// Goes on until `decide` says that it is so, by what is known and by what is read; `settled`
    /// hears of it before anybody else decides anything.
    pub(crate) async fn drive<T: PartialEq>(
        &self,
        aim: Aim<'_>,
        decide: impl Fn(&Scene<'_>) -> Step<T>,
        settled: impl Fn(&T, &View, &mut Journal),
    ) -> Result<T, PortError> {
        let inventory = self.inventory.borrow().clone();
        let began = Instant::now();
        let (mut pause, mut calls) = (PAUSES.0, 0);
        let (mut waiting, mut last) = (None, None);
        let mut read = self.read(&inventory, began).await.map_err(|it| failed(aim, it))?;
        loop {
            let step = self.decide(&inventory, &read, aim, &decide, &settled);
            let call = match step {
                Step::Done((value, true)) => return Ok(value),
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
            if began.elapsed() > self.options.settle {
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
        read: &View,
        aim: Aim<'_>,
        decide: &impl Fn(&Scene<'_>) -> Step<T>,
        settled: &impl Fn(&T, &View, &mut Journal),
    ) -> Step<(T, bool)> {
        let mut journal = self.journal();
        let view = journal.replay(read);
        match self.look(&journal, inventory, &view, decide) {
            Step::Done(value) => {
                let raw = self.look(&journal, inventory, read, decide);
                let seen = matches!(&raw, Step::Done(shown) if *shown == value);
                if seen {
                    settled(&value, read, &mut journal);
                }
                Step::Done((value, seen))
            }
            Step::Call(call) => {
                match &call {
                    Call::Associate { public, private, .. } => {
                        journal.claim(*public, aim.node, *private);
                    }
                    // What carried it is given back next.
                    Call::Disassociate { public, .. } => {
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
        read: &View,
        aim: Aim<'_>,
        call: &Call,
    ) -> Result<(), Failure> {
        let _alone = self.locks.lock(interface(call)).await;
        let doubts = doubts(call);
        let (before, begun) = {
            let mut journal = self.journal();
            let before: Vec<_> = doubts.iter().map(|(of, _)| (*of, journal.doubt(*of))).collect();
            for (address, doubt) in &doubts {
                journal.begin(*address, *doubt);
            }
            let any = matches!(call, Call::AssignAny { .. });
            (before, any.then(|| journal.begin_any(interface(call))))
        };
        let mut flight = begun.map(|begun| Flight {
            journal: &self.journal,
            interface: interface(call),
            begun,
            answered: false,
        });
        let answer = self.ec2.change(call).await;
        let refused = answer.as_ref().err().map(|failure| failure.refused);
        let mut journal = self.journal();
        if let Ok(effects) = &answer {
            claim(&mut journal, inventory, read, aim, call, effects);
        }
        drop(journal);
        if let Some(flight) = &mut flight {
            flight.answered = refused.unwrap_or(true);
        }
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
                if full && matches!(call, Call::AssignPrivate { .. } | Call::AssignAny { .. }) {
                    let view = journal.replay(read);
                    let used = view.interfaces.get(interface(call)).map(|it| it.used(true));
                    journal.mark_full(interface(call), used.unwrap_or_default());
                }
                Err(failure)
            }
        }
    }
}

/// A call for addresses of EC2's choice, until it has an answer or nobody waits for it any more.
struct Flight<'a> {
    journal: &'a Mutex<Journal>,
    interface: &'a str,
    begun: Instant,
    answered: bool,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.end_any(self.interface, self.begun, self.answered);
    }
}

/// Secondary addresses that a call has got for Elastic IPs are theirs.
fn claim(
    journal: &mut Journal,
    inventory: &Inventory,
    read: &View,
    aim: Aim<'_>,
    call: &Call,
    effects: &[Effect],
) {
    let got = effects.iter().filter_map(|effect| match effect {
        Effect::At { address: IpAddr::V4(address), .. } => Some(*address),
        _ => None,
    });
    let wanted: Vec<Ipv4Addr> = match call {
        Call::AssignAny { wanted, .. } => wanted.iter().copied().collect(),
        Call::AssignPrivate { address, .. }
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

/// The interface that a call is about; changes of mappings are about their Elastic IP.
fn interface(call: &Call) -> &str {
    match call {
        Call::AssignPrivate { interface, .. }
        | Call::AssignAny { interface, .. }
        | Call::UnassignPrivate { interface, .. }
        | Call::AssignIpv6 { interface, .. }
        | Call::UnassignIpv6 { interface, .. }
        | Call::Associate { interface, .. } => interface,
        Call::Disassociate { association, .. } => association,
    }
}

/// What nobody knows while the call has no answer.
fn doubts(call: &Call) -> Vec<(IpAddr, Doubt)> {
    match call {
        Call::AssignPrivate { address, .. } => vec![((*address).into(), Doubt::Moved)],
        Call::AssignIpv6 { address, .. } => vec![((*address).into(), Doubt::Moved)],
        Call::AssignAny { .. } => Vec::new(),
        Call::UnassignPrivate { addresses, .. } => {
            addresses.iter().map(|address| ((*address).into(), Doubt::Gone)).collect()
        }
        Call::UnassignIpv6 { address, .. } => vec![((*address).into(), Doubt::Gone)],
        Call::Associate { public, .. } | Call::Disassociate { public, .. } => {
            vec![((*public).into(), Doubt::Mapped)]
        }
    }
}

/// Whether such an answer only says that the read which led to the call was an old one.
fn may_be_stale(call: &Call, failure: &Failure) -> bool {
    let gone = matches!(failure.class, ErrorClass::Invalid | ErrorClass::NotFound);
    let takes = matches!(
        call,
        Call::UnassignPrivate { .. } | Call::UnassignIpv6 { .. } | Call::Disassociate { .. }
    );
    // The address is still at another interface; the wire address is no longer there.
    let gives = matches!(call, Call::AssignIpv6 { .. } | Call::Associate { .. });
    (takes && gone) || (gives && failure.class == ErrorClass::Invalid)
}

fn failed(aim: Aim<'_>, failure: Failure) -> PortError {
    PortError::new(failure.class, aim.operation, failure)
}

fn not_seen(aim: Aim<'_>) -> PortError {
    let late = "EC2 does not show it yet, or somebody else changes it at the same time";
    PortError::new(ErrorClass::Transient, aim.operation, late)
}
