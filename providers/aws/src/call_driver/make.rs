//! One call, with all that waits for the same interface, and what is known by its answer.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use egret_ports::merge::{MergeableChange, Registration};
use egret_ports::provider::Inventory;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};
use tokio::time::Instant;

use super::{CallContext, CallDriver, Until};
use crate::call::{DecidedCall, Ec2Call};
use crate::errors::CallFailure;
use crate::journal::{Doubt, Journal};
use crate::rate::Urgency;
use crate::scan::Scan;
use crate::snapshot::{CallEffect, Ec2Snapshot};

impl CallDriver {
    /// Makes a call, one at a time on each interface, and with it what others wait for there. What was
    /// refused together is tried in halves: EC2 does all of a list or nothing. Nothing is done where the
    /// call is not `still` the step to make once it is its turn.
    pub(super) async fn make(
        &self,
        inventory: &Inventory,
        read: &Scan,
        aim: CallContext<'_>,
        call: &DecidedCall,
        still: impl Fn() -> bool,
    ) -> Result<(), CallFailure> {
        let urgency = match aim.until {
            Until::Accepted => Urgency::Failover,
            Until::Observed => Urgency::Ordinary,
        };
        let mut turn = Turn { registered: self.pending.register(call), alone: None };
        let _first = match call.key() {
            Some(key) => {
                tokio::time::sleep(self.collect).await;
                // What is urgent does not wait in the line of what is not.
                Some(self.lines.lock(&format!("{urgency:?} {key}")).await)
            }
            None => None,
        };
        loop {
            if let Some(outcome) = turn.registered.outcome() {
                return outcome;
            }
            // Before the interface is locked: what is urgent there does not wait behind what can.
            self.ec2.admit(&call.call, urgency).await;
            turn.alone = Some(self.lock(&call.call).await);
            if let Some(outcome) = turn.registered.outcome() {
                return outcome;
            }
            if !still() {
                return Ok(());
            }
            let merged = turn.registered.merged_where(|other| self.holds(other));
            let several = merged.is_of_several();
            let ready = &merged.call.call;
            let outcome = Box::pin(self.send(inventory, read, aim, ready, several)).await;
            match &outcome {
                Err(failure) if several && failure.is_of_one() => {
                    tracing::debug!(%failure, "several addresses at once were refused");
                    turn.registered.split(&merged);
                    turn.alone = None;
                }
                _ => {
                    turn.registered.settle(&merged, &outcome);
                    return outcome;
                }
            }
        }
    }

    /// One change of each Elastic IP's mapping at a time, and while an interface's addresses change none there.
    async fn lock(&self, call: &Ec2Call) -> CallLocks {
        match call {
            Ec2Call::Associate { public, interface, .. } => {
                let alone = self.locks.lock(&public.to_string()).await;
                CallLocks { _shared: Some(self.locks.share(interface).await), _alone: alone }
            }
            Ec2Call::Disassociate { public, .. } => {
                CallLocks { _shared: None, _alone: self.locks.lock(&public.to_string()).await }
            }
            _ => CallLocks { _shared: None, _alone: self.locks.lock(call.interface()).await },
        }
    }

    /// Whether what another task waits to change is what it would decide now: it cannot be asked.
    fn holds(&self, other: &DecidedCall) -> bool {
        self.journal().is_untouched(&other.call.listed(), other.decided)
    }

    /// Sends it and notes what became of it.
    async fn send(
        &self,
        inventory: &Inventory,
        read: &Scan,
        aim: CallContext<'_>,
        call: &Ec2Call,
        several: bool,
    ) -> Result<(), CallFailure> {
        let interface = call.interface();
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
                journal.release(&call.slots());
                Ok(())
            }
            Err(failure) => {
                if failure.refused {
                    for (address, doubt) in before {
                        journal.refused(address, doubt);
                    }
                }
                if failure.is_interface_full()
                    && !several
                    && matches!(call, Ec2Call::AssignPrivate { .. } | Ec2Call::AssignAny { .. })
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

/// A task's turn. In this order it ends: nobody makes with his own a change that this task is done with.
struct Turn<'a> {
    registered: Registration<'a, DecidedCall, CallFailure>,
    alone: Option<CallLocks>,
}

/// What a call is about, locked.
struct CallLocks {
    _alone: OwnedRwLockWriteGuard<()>,
    _shared: Option<OwnedRwLockReadGuard<()>>,
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
    match call {
        Ec2Call::AssignAny { wanted, .. } => {
            for (public, wire) in wanted.iter().zip(got) {
                journal.claim(*public, aim.node, wire);
            }
        }
        Ec2Call::AssignPrivate { addresses, .. } => {
            for (public, elastic) in &read.elastic {
                let Some(at) = &elastic.association else { continue };
                let moved = addresses.contains(&at.private);
                if moved && !inventory.addresses.contains_key(&IpAddr::from(at.private)) {
                    journal.claim(*public, aim.node, at.private);
                }
            }
        }
        _ => {}
    }
}
