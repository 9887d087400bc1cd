//! Reads that several tasks share: whoever asks while one is under way waits for the next one, and all of
//! these get the same.

use std::sync::Arc;
use std::time::Instant;

use egret_ports::provider::Inventory;
use tokio::sync::{Mutex, watch};

use crate::compute::{Compute, ReadScope};
use crate::errors::GceFailure;
use crate::inputs::GceInputs;
use crate::mode::ReadKinds;
use crate::names::ResourcePath;
use crate::snapshot::GceSnapshot;

/// A read, and what was known of the cluster when it began.
#[derive(Clone, Debug)]
pub(crate) struct ReadView {
    pub view: Arc<GceSnapshot>,
    inventory: Arc<Inventory>,
}

impl ReadView {
    /// What decisions rest on.
    pub fn inputs(&self) -> GceInputs<'_> {
        GceInputs { view: &self.view, inventory: &self.inventory }
    }
}

/// One read at a time.
#[derive(Debug)]
pub(crate) struct SharedReads {
    kinds: ReadKinds,
    inventory: watch::Receiver<Arc<Inventory>>,
    last: Mutex<Option<(Instant, Result<ReadView, GceFailure>)>>,
}

impl SharedReads {
    pub fn new(kinds: ReadKinds, inventory: watch::Receiver<Arc<Inventory>>) -> Self {
        Self { kinds, inventory, last: Mutex::default() }
    }

    /// What a read says that begins after this call does.
    ///
    /// # Errors
    /// Those of the read.
    pub async fn read(&self, compute: &Compute) -> Result<ReadView, GceFailure> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        let newer = last.as_ref().filter(|(began, _)| *began > asked);
        if let Some((_, result)) = newer {
            return result.clone();
        }
        let inventory = self.inventory.borrow().clone();
        let began = Instant::now();
        let view = compute.read(&scope(self.kinds, &inventory)).await;
        let result = view.map(|view| ReadView { view: Arc::new(view), inventory });
        *last = Some((began, result.clone()));
        result
    }
}

/// What is to be read for all that is known of the cluster.
fn scope(kinds: ReadKinds, inventory: &Inventory) -> ReadScope {
    let (instances, scopes) = GceInputs::scopes(inventory, kinds.recorded_instances);
    let recorded = inventory.addresses.values().flat_map(|nodes| nodes.values());
    let recorded = recorded.filter_map(|at| at.interface.as_deref().map(ResourcePath::new));
    let zones = instances.keys().cloned().chain(recorded).filter_map(|path| {
        Some((path.part("projects")?.to_owned(), path.part("zones")?.to_owned()))
    });
    let zones = zones.collect();
    ReadScope { kinds, instances, scopes, zones }
}
