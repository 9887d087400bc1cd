//! The loop around the pure functions: read, decide, make one call, read again.

use std::sync::Arc;
use std::time::Duration;

use egret_ports::error::{ErrorClass, PortError};
use egret_ports::locks::Locks;
use egret_ports::merge::PendingChanges;
use egret_ports::provider::Inventory;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

use crate::compute::Compute;
use crate::errors::GceFailure;
use crate::inputs::GceInputs;
use crate::mode::DeliveryMode;
use crate::reads::{ReadView, SharedReads};
use crate::step::{GceCall, GceStep};

/// More changes than anything needs: somebody else changes the same at the same time.
const MOST_CALLS: usize = 100;
/// How often an address that something else has is asked for: where it was last it may be seen longer.
const IN_USE_TRIES: u32 = 3;
/// Between two reads that wait for something: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Compute Engine, with what is known of the cluster.
#[derive(Debug)]
pub(crate) struct GceDriver {
    compute: Compute,
    reads: SharedReads,
    settle: Duration,
    /// Of calls on what several tasks share: endpoint groups, target instances, interfaces.
    shared: Locks,
    /// Of alias ranges of one interface: each change ends the fingerprint of the others.
    pending: PendingChanges<GceCall, ()>,
}

impl GceDriver {
    pub fn new(
        compute: Compute,
        mode: &'static dyn DeliveryMode,
        inventory: watch::Receiver<Arc<Inventory>>,
        settle: Duration,
    ) -> Self {
        let reads = SharedReads::new(mode.reads(), inventory);
        Self {
            compute,
            reads,
            settle,
            shared: Locks::default(),
            pending: PendingChanges::default(),
        }
    }

    /// What `look` finds in a read that begins now.
    pub async fn observe<T>(
        &self,
        look: impl FnOnce(&GceInputs<'_>) -> T,
    ) -> Result<T, GceFailure> {
        let seen = self.read().await?;
        let inputs = seen.inputs();
        // What cannot be read is not nowhere.
        match inputs.unread_attachment() {
            Some(refusal) => Err(GceFailure::unread(refusal)),
            None => Ok(look(&inputs)),
        }
    }

    /// Goes on until `decide` says of a read that it is so.
    ///
    /// # Errors
    /// What is refused; what fails; `Transient` where somebody goes on changing the same.
    pub async fn drive<T>(
        &self,
        operation: &str,
        decide: impl Fn(&GceInputs<'_>) -> GceStep<T>,
    ) -> Result<T, PortError> {
        // That something is missing for a read or a call proves nothing of the address.
        let failed = |failure: GceFailure| {
            let missing = failure.class == ErrorClass::NotFound;
            let class = if missing { ErrorClass::Transient } else { failure.class };
            PortError::new(class, operation, failure)
        };
        let (began, mut pause, mut calls) = (Instant::now(), PAUSES.0, 0);
        let (mut last, mut in_use) = (None, 0);
        loop {
            let seen = self.read().await.map_err(failed)?;
            let call = match decide(&seen.inputs()) {
                GceStep::Done(value) => return Ok(value),
                GceStep::Refuse(refusal) => {
                    return Err(PortError::new(refusal.class, operation, refusal.message));
                }
                GceStep::Call(call) if calls < MOST_CALLS => Some(call),
                GceStep::Call(_) | GceStep::Wait => None,
            };
            if let Some(call) = call {
                calls += 1;
                match self.make(&seen, &call, &decide).await {
                    Ok(()) => {
                        pause = PAUSES.0;
                        continue;
                    }
                    Err(failure) if failure.is_in_use() && in_use + 1 >= IN_USE_TRIES => {
                        let taken = GceFailure { class: ErrorClass::Invalid, ..failure };
                        return Err(failed(taken));
                    }
                    Err(failure) if failure.is_stale() => {
                        in_use += u32::from(failure.is_in_use());
                        last = Some(failure);
                    }
                    Err(failure) => return Err(failed(failure)),
                }
            }
            if began.elapsed() > self.settle {
                let late =
                    || PortError::new(ErrorClass::Transient, operation, "it goes on changing");
                return Err(last.map_or_else(late, failed));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Makes the next call, if there is one, and does not wait for what is in its way.
    ///
    /// # Errors
    /// Those of the read and of the call.
    pub async fn step(
        &self,
        decide: impl Fn(&GceInputs<'_>) -> GceStep<()>,
    ) -> Result<(), GceFailure> {
        let seen = self.read().await?;
        match decide(&seen.inputs()) {
            GceStep::Call(call) => self.make(&seen, &call, &decide).await,
            _ => Ok(()),
        }
    }

    /// Makes a call; one on what tasks share with nobody else at it, and only if it is still the step to make.
    async fn make<T>(
        &self,
        seen: &ReadView,
        call: &GceCall,
        decide: &impl Fn(&GceInputs<'_>) -> GceStep<T>,
    ) -> Result<(), GceFailure> {
        debug!(?call, "Compute Engine is asked for a change");
        if !call.is_of_shared() {
            return self.compute.change(call, &seen.view).await;
        }
        let registered = self.pending.register(call);
        let _alone = self.shared.lock(call.target().as_str()).await;
        if registered.outcome().is_some() {
            return Ok(());
        }
        let seen = self.read().await?;
        match decide(&seen.inputs()) {
            GceStep::Call(still) if still == *call => {}
            _ => return Ok(()),
        }
        let mut view = seen.view;
        loop {
            let merged = registered.merged();
            match self.compute.change(&merged.call, &view).await {
                Ok(()) => {
                    registered.settle(&merged, &Ok(()));
                    return Ok(());
                }
                Err(failure) if merged.is_of_several() && failure.is_of_the_change() => {
                    debug!(%failure, "several changes at once were refused");
                    registered.split(&merged);
                    view = self.read().await?.view;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn read(&self) -> Result<ReadView, GceFailure> {
        self.reads.read(&self.compute).await
    }
}
