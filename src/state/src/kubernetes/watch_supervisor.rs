//! Keeps the wanted watches running and publishes snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use egret_ports::backoff::{ExponentialDelay, jittered};
use tokio::task::JoinHandle;

use super::cache::ObjectCache;
use super::index::WatchSource;
use super::scope::WatchScope;
use super::watch::follow;

/// How often the API server is asked for optional kinds that may have come meanwhile.
const DISCOVERY: Duration = Duration::from_secs(60);
/// Where it does not say.
const DISCOVERY_DELAY: ExponentialDelay =
    ExponentialDelay { initial: Duration::from_millis(200), max: Duration::from_secs(5) };

/// Finds the optional kinds again and again; never returns.
pub async fn discover(cache: &ObjectCache) {
    let mut failures = 0;
    loop {
        match cache.discover().await {
            Ok(()) => {
                failures = 0;
                tokio::time::sleep(jittered(DISCOVERY)).await;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot ask which kinds there are");
                failures += 1;
                tokio::time::sleep(jittered(DISCOVERY_DELAY.after(failures))).await;
            }
        }
    }
}

/// Runs the watches and publishes what they show; never returns.
pub async fn run(cache: Arc<ObjectCache>) {
    // What comes while this passes is published together. An agent's part is small, and its
    // pods wait for it.
    let coalesce = match cache.scope {
        WatchScope::Agent { .. } => Duration::from_millis(2),
        WatchScope::Controller | WatchScope::Reader | WatchScope::Pod { .. } => {
            Duration::from_millis(20)
        }
    };
    let mut touched = cache.touched();
    let mut running: BTreeMap<WatchSource, JoinHandle<()>> = BTreeMap::new();
    let mut published = None;
    loop {
        supervise(&cache, &mut running);
        publish(&cache, &mut published);
        tokio::time::sleep(coalesce).await;
        if touched.changed().await.is_err() {
            return;
        }
    }
}

fn supervise(cache: &Arc<ObjectCache>, running: &mut BTreeMap<WatchSource, JoinHandle<()>>) {
    let Some(wanted) = cache.wanted() else { return };
    running.retain(|_, task| !task.is_finished());
    // Nothing waits for these.
    let besides = cache.wanted_besides();
    for source in wanted.iter().chain(&besides) {
        if !running.contains_key(source) {
            let task = tokio::spawn(follow(Arc::clone(cache), source.clone()));
            running.insert(source.clone(), task);
        }
    }
    // What a source showed stays until those that come in its place show it too.
    if cache.with_index(|index| index.is_complete(&wanted)) {
        running.retain(|source, task| {
            let keep = wanted.contains(source) || besides.contains(source);
            if !keep {
                task.abort();
                cache.update_index(|index| index.forget(source));
            }
            keep
        });
    }
}

fn publish(cache: &ObjectCache, published: &mut Option<u64>) {
    let Some(wanted) = cache.wanted() else { return };
    let changes = cache.with_index(|index| index.is_complete(&wanted).then(|| index.changes()));
    let Some(changes) = changes else { return };
    if *published == Some(changes) {
        return;
    }
    *published = Some(changes);
    cache.publish();
}
