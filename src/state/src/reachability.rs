use tokio::sync::watch;

use crate::error::StoreError;

/// Whether a store answers, for everybody who wants to know.
#[derive(Debug)]
pub struct Reachability(watch::Sender<bool>);

impl Default for Reachability {
    /// It does, until an access says otherwise.
    fn default() -> Self {
        Self(watch::Sender::new(true))
    }
}

impl Reachability {
    /// What is known now, and what follows.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// It answers, or there is this instead of an answer.
    pub fn set(&self, outage: Option<&StoreError>) {
        self.0.send_if_modified(|reachable| {
            let now = outage.is_none();
            let changed = *reachable != now;
            match outage {
                Some(error) if changed => tracing::warn!(%error, "the store is unreachable"),
                None if changed => tracing::info!("the store is reachable again"),
                _ => {}
            }
            *reachable = now;
            changed
        });
    }
}
