//! The loop around the pure functions: read, decide, make one call, read again.

use std::sync::Arc;
use std::time::Duration;

use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::Inventory;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tracing::debug;

use crate::compute::{Compute, ReadScope};
use crate::errors::GceFailure;
use crate::inputs::GceInputs;
use crate::names::ResourcePath;
use crate::plan::{GceCall, GceStep};
use crate::snapshot::GceSnapshot;

/// More changes than anything needs: somebody else changes the same at the same time.
const MOST_CALLS: usize = 100;
/// Between two reads that wait for something: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Compute Engine, with what is known of the cluster.
#[derive(Debug)]
pub(crate) struct GceDriver {
    compute: Compute,
    inventory: watch::Receiver<Arc<Inventory>>,
    settle: Duration,
    /// Of groups: that gateways of a zone share one is known to nobody else.
    groups: Mutex<()>,
}

impl GceDriver {
    pub fn new(
        compute: Compute,
        inventory: watch::Receiver<Arc<Inventory>>,
        settle: Duration,
    ) -> Self {
        Self { compute, inventory, settle, groups: Mutex::default() }
    }

    /// What `look` finds in a read that begins now.
    pub async fn observe<T>(
        &self,
        look: impl FnOnce(&GceInputs<'_>) -> T,
    ) -> Result<T, GceFailure> {
        let inventory = self.inventory.borrow().clone();
        let view = self.read(&inventory).await?;
        let inputs = GceInputs { view: &view, inventory: &inventory };
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
        let inventory = self.inventory.borrow().clone();
        let (began, mut pause, mut calls) = (Instant::now(), PAUSES.0, 0);
        let mut last = None;
        loop {
            let view = self.read(&inventory).await.map_err(failed)?;
            let call = match decide(&GceInputs { view: &view, inventory: &inventory }) {
                GceStep::Done(value) => return Ok(value),
                GceStep::Refuse(refusal) => {
                    return Err(PortError::new(refusal.class, operation, refusal.message));
                }
                GceStep::Call(call) if calls < MOST_CALLS => Some(call),
                GceStep::Call(_) | GceStep::Wait => None,
            };
            if let Some(call) = call {
                calls += 1;
                match self.make(&inventory, &call, &decide).await {
                    Ok(()) => {
                        pause = PAUSES.0;
                        continue;
                    }
                    Err(failure) if failure.is_stale() => last = Some(failure),
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

    /// Makes a call; one on a group alone, and only if it is still the step to make.
    async fn make<T>(
        &self,
        inventory: &Inventory,
        call: &GceCall,
        decide: &impl Fn(&GceInputs<'_>) -> GceStep<T>,
    ) -> Result<(), GceFailure> {
        debug!(?call, "Compute Engine is asked for a change");
        if call.target().part("networkEndpointGroups").is_none() {
            return self.compute.change(call).await;
        }
        let _alone = self.groups.lock().await;
        let view = self.read(inventory).await?;
        match decide(&GceInputs { view: &view, inventory }) {
            GceStep::Call(still) if still == *call => self.compute.change(call).await,
            _ => Ok(()),
        }
    }

    async fn read(&self, inventory: &Inventory) -> Result<GceSnapshot, GceFailure> {
        let (instances, scopes) = GceInputs::scopes(inventory);
        let recorded = inventory.addresses.values().flat_map(|nodes| nodes.values());
        let recorded = recorded.filter_map(|at| at.interface.as_deref().map(ResourcePath::new));
        let zones = instances.keys().cloned().chain(recorded).filter_map(|path| {
            Some((path.part("projects")?.to_owned(), path.part("zones")?.to_owned()))
        });
        let zones = zones.collect();
        self.compute.read(&ReadScope { instances, scopes, zones }).await
    }
}
