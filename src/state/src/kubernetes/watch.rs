//! Follows one source for as long as it is wanted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::{REQUEST, jittered};
use super::decode::revision;
use super::error::ApiError;
use super::index::Source;
use super::list::{Change, Watch, list};
use super::shared::Shared;

const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What a person must change is not asked for more often than this.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// Lists and watches until it is aborted; ends by itself where an optional kind is gone.
pub async fn follow(shared: Arc<Shared>, source: Source) {
    let mut pause = SHORTEST_PAUSE;
    let mut said = None;
    loop {
        let began = Instant::now();
        let error = match once(&shared, &source).await {
            // The API server ends watches; a very short one is not begun again at once.
            Ok(()) => {
                if began.elapsed() < Duration::from_secs(1) {
                    tokio::time::sleep(jittered(SHORTEST_PAUSE)).await;
                }
                pause = SHORTEST_PAUSE;
                continue;
            }
            Err(error) => error,
        };
        if began.elapsed() > LONGEST_PAUSE {
            pause = SHORTEST_PAUSE;
        }
        shared.api.note(Some(&error));
        if error.is_gone() {
            shared.change(|index| index.lose(&source));
        } else if source.kind.is_optional() && error.is_missing() {
            shared.change(|index| index.forget(&source));
            return;
        } else if source.kind.is_optional() && error.code() == Some(403) {
            // What may not be read is not there; the rights may come later.
            shared.change(|index| index.reset(&source, Vec::new(), None));
            pause = REFUSED_PAUSE;
        }
        let kind = (error.code(), error.is_silence());
        if said.replace(kind) != Some(kind) && !error.is_silence() {
            say(&source, &error);
        }
        if error.is_silence() {
            // One probe asks for all watches.
            let mut reachable = shared.api.reachable();
            let _ = tokio::time::timeout(3 * REQUEST, reachable.wait_for(|now| *now)).await;
        }
        tokio::time::sleep(jittered(pause.max(error.retry_after().unwrap_or_default()))).await;
        pause = (pause * 2).min(LONGEST_PAUSE.max(pause));
    }
}

/// One watch from where the index stands, listed first where it stands nowhere.
async fn once(shared: &Shared, source: &Source) -> Result<(), ApiError> {
    let floor = shared.look(|index| index.floor(source));
    let floor = match floor {
        Some(floor) => floor,
        None => {
            let listed = list(&shared.api, source).await?;
            let version = revision(&listed.version);
            shared.change(|index| index.reset(source, listed.live, version));
            version.ok_or_else(|| {
                ApiError::Invalid(format!("resourceVersion {:?} is no number", listed.version))
            })?
        }
    };
    let mut watch = Watch::open(&shared.api, source, floor).await?;
    while let Some(change) = watch.next().await? {
        shared.change(|index| match change {
            Change::Applied(seen) => index.apply(source, seen),
            Change::Deleted(seen) => index.delete(source, &seen.id, seen.revision),
            Change::Nothing { revision } => index.bookmark(source, revision),
        });
    }
    Ok(())
}

fn say(source: &Source, error: &ApiError) {
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
