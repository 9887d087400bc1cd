use egret_core::model::Timestamp;
use egret_core::plan::Note;
use egret_ports::cluster_state::{ClusterState, Event};
use tracing::{debug, info};

/// Tells people: the log, and an event of the object that the note is about.
pub(crate) async fn tell<S: ClusterState>(state: &S, note: &Note, at: Timestamp) {
    info!(event = note.reason, about = note.about, "{}", note.message);
    let event = Event {
        about: note.about.clone(),
        warning: note.warning,
        reason: note.reason.to_owned(),
        message: note.message.clone(),
        source: "controller".to_owned(),
        at,
    };
    if let Err(error) = state.event(event).await {
        debug!(%error, "event not written");
    }
}
