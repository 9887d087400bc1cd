//! Events that wait for the store: bounded, oldest dropped first.

use std::collections::VecDeque;

use egret_core::model::{NodeName, ObjectRef, Timestamp};
use egret_core::reason::EventReason;
use egret_ports::cluster_state::{ClusterState, Event};
use tracing::warn;

/// What an outage of the store may pile up.
const MOST: usize = 256;

#[derive(Debug)]
pub(crate) struct EventRecorder {
    source: NodeName,
    waiting: VecDeque<Event>,
}

impl EventRecorder {
    pub(crate) fn new(source: NodeName) -> Self {
        Self { source, waiting: VecDeque::new() }
    }

    pub(crate) fn add(
        &mut self,
        warning: bool,
        about: ObjectRef,
        reason: EventReason,
        message: String,
        at: Timestamp,
    ) {
        if self.waiting.len() == MOST {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Event {
            about,
            warning,
            reason: reason.to_string(),
            message,
            source: self.source.to_string(),
            at,
        });
    }

    /// Writes what waits, in order, until one fails.
    pub(crate) async fn flush<S: ClusterState>(&mut self, state: &S) {
        while let Some(event) = self.waiting.front() {
            if let Err(error) = state.event(event.clone()).await {
                return warn!(%error, waiting = self.waiting.len(), "events wait for the store");
            }
            self.waiting.pop_front();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Puts back what `earlier` could not write, before what has come since.
    pub(crate) fn put_back(&mut self, mut earlier: Self) {
        earlier.waiting.append(&mut self.waiting);
        while earlier.waiting.len() > MOST {
            earlier.waiting.pop_front();
        }
        self.waiting = earlier.waiting;
    }
}
