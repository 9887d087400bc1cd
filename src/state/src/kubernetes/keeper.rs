//! Keeps the wanted watches running and publishes snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::View;
use super::client::jittered;
use super::index::Source;
use super::shared::Shared;
use super::watch::follow;

/// How often the API server is asked for optional kinds that may have come meanwhile.
const DISCOVERY: Duration = Duration::from_secs(60);

/// Finds the optional kinds again and again; never returns.
pub async fn discover(shared: &Shared) {
    let mut pause = Duration::from_millis(200);
    loop {
        match shared.discover().await {
            Ok(()) => tokio::time::sleep(jittered(DISCOVERY)).await,
            Err(error) => {
                tracing::debug!(%error, "cannot ask which kinds there are");
                tokio::time::sleep(jittered(pause)).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
}

/// Runs the watches and publishes what they show; never returns.
pub async fn keep(shared: Arc<Shared>) {
    // What comes while this passes is published together. An agent's part is small, and its
    // pods wait for it.
    let coalesce = match shared.view {
        View::Agent { .. } => Duration::from_millis(2),
        View::Controller | View::Reader | View::Pod { .. } => Duration::from_millis(20),
    };
    let mut touched = shared.touched.subscribe();
    let mut running: BTreeMap<Source, JoinHandle<()>> = BTreeMap::new();
    let mut published = None;
    loop {
        supervise(&shared, &mut running);
        publish(&shared, &mut published);
        tokio::time::sleep(coalesce).await;
        if touched.changed().await.is_err() {
            return;
        }
    }
}

fn supervise(shared: &Arc<Shared>, running: &mut BTreeMap<Source, JoinHandle<()>>) {
    let Some(wanted) = shared.wanted() else { return };
    running.retain(|_, task| !task.is_finished());
    for source in &wanted {
        if !running.contains_key(source) {
            let task = tokio::spawn(follow(Arc::clone(shared), source.clone()));
            running.insert(source.clone(), task);
        }
    }
    // What a source showed stays until those that come in its place show it too.
    if shared.look(|index| index.is_complete(&wanted)) {
        running.retain(|source, task| {
            let keep = wanted.contains(source);
            if !keep {
                task.abort();
                shared.change(|index| index.forget(source));
            }
            keep
        });
    }
}

fn publish(shared: &Shared, published: &mut Option<u64>) {
    let Some(wanted) = shared.wanted() else { return };
    let changes = shared.look(|index| index.is_complete(&wanted).then(|| index.changes()));
    let Some(changes) = changes else { return };
    if *published == Some(changes) {
        return;
    }
    *published = Some(changes);
    let snapshot = Arc::new(shared.assemble());
    shared.snapshot.send_if_modified(|before| {
        let changed = before.as_ref() != Some(&snapshot);
        if changed {
            *before = Some(snapshot);
        }
        changed
    });
}
