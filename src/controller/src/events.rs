use egret_core::model::EventDraft;
use egret_core::model::Timestamp;
use egret_ports::cluster_state::{ClusterState, Event};
use tracing::{debug, info};

/// Tells people: the log, and an event of the object that the note is about.
pub(crate) async fn record_event<S: ClusterState>(state: &S, note: &EventDraft, at: Timestamp) {
    info!(event = %note.reason, about = note.about.to_string(), "{}", note.message);
    let event = Event {
        about: note.about.clone(),
        warning: note.warning,
        reason: note.reason.to_string(),
        message: note.message.clone(),
        source: "controller".to_owned(),
        at,
    };
    if let Err(error) = state.event(event).await {
        debug!(%error, "event not written");
    }
}
