//! Follows one source for as long as it is wanted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache::ObjectCache;
use egret_ports::backoff::{ExponentialDelay, jittered};

use super::client::REQUEST;
use super::decode::revision;
use super::index::WatchSource;
use super::list::{Watch, WatchEvent, list};
use crate::error::StoreError;

/// After a failure, and after a watch that ended at once.
const DELAY: ExponentialDelay =
    ExponentialDelay { initial: Duration::from_millis(200), max: Duration::from_secs(10) };
/// What a person must change is not asked for more often than this.
const REFUSED_DELAY: Duration = Duration::from_secs(30);

/// Lists and watches until it is aborted; ends by itself where an optional kind is gone.
pub async fn follow(cache: Arc<ObjectCache>, source: WatchSource) {
    let mut failures = 0;
    let mut refused = false;
    let mut reported = None;
    loop {
        let began = Instant::now();
        let error = match once(&cache, &source).await {
            // The API server ends watches; a very short one is not begun again at once.
            Ok(()) => {
                if began.elapsed() < Duration::from_secs(1) {
                    tokio::time::sleep(jittered(DELAY.initial)).await;
                }
                (failures, refused) = (0, false);
                continue;
            }
            Err(error) => error,
        };
        if began.elapsed() > DELAY.max {
            (failures, refused) = (0, false);
        }
        cache.api.note(Some(&error));
        if error.is_gone() {
            cache.update_index(|index| index.lose(&source));
        } else if source.kind.is_withheld_by(&error) {
            // What may not be read is not there; the rights may come later.
            let not_allowed = error.code() == Some(403);
            cache.update_index(|index| index.withhold(&source, not_allowed));
            refused = true;
        } else if source.kind.is_optional() && error.is_missing() {
            cache.update_index(|index| index.forget(&source));
            return;
        }
        let kind = (error.code(), error.is_outage());
        if reported.replace(kind) != Some(kind) && !error.is_outage() {
            report(&source, &error);
        }
        if error.is_outage() {
            // One probe asks for all watches.
            let mut reachable = cache.api.reachable();
            let _ = tokio::time::timeout(3 * REQUEST, reachable.wait_for(|now| *now)).await;
        }
        failures += 1;
        let delay = if refused { REFUSED_DELAY } else { DELAY.after(failures) };
        tokio::time::sleep(jittered(delay.max(error.retry_after().unwrap_or_default()))).await;
    }
}

/// One watch from where the index stands, listed first where it stands nowhere.
async fn once(cache: &ObjectCache, source: &WatchSource) -> Result<(), StoreError> {
    let floor = cache.with_index(|index| index.floor(source));
    let floor = match floor {
        Some(floor) => floor,
        None => {
            let listed = list(&cache.api, source).await?;
            let version = revision(&listed.version);
            cache.update_index(|index| index.reset(source, listed.live, version));
            version.ok_or_else(|| {
                StoreError::Invalid(format!("resourceVersion {:?} is no number", listed.version))
            })?
        }
    };
    let mut watch = Watch::open(&cache.api, source, floor).await?;
    while let Some(change) = watch.next().await? {
        cache.update_index(|index| match change {
            WatchEvent::Applied(object) => index.apply(source, object),
            WatchEvent::Deleted(object) => index.delete(source, &object.id, object.revision),
            WatchEvent::Nothing { revision } => index.bookmark(source, revision),
        });
    }
    Ok(())
}

fn report(source: &WatchSource, error: &StoreError) {
    let kind = source.kind.plural();
    match error.code() {
        Some(404) => tracing::warn!(
            kind,
            %error,
            "the API server does not know this kind: install Egret's CRDs (deploy/crds)"
        ),
        Some(401 | 403) => tracing::warn!(kind, %error, "not allowed to watch this kind"),
        Some(410) => tracing::debug!(kind, "the watch's version is forgotten; listing anew"),
        _ => tracing::warn!(kind, %error, "cannot watch"),
    }
}
