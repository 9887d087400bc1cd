//! The fence counter: `data.next` of a ConfigMap, drawn from by compare-and-swap.

use std::sync::Arc;

use serde_json::{Value, json};

use super::error::ApiError;
use super::index::Index;
use super::kind::{Id, Kind};
use super::shared::Shared;

const NAME: &str = "egret-fences";
/// Tries against others that draw at the same moment.
const TRIES: u32 = 20;
/// How far past the greatest number found a lost counter begins anew: further than anybody can
/// have drawn without a trace in an object.
const GAP: u64 = 1_000_000;

/// Draws `count` numbers and returns the first.
///
/// # Errors
/// Where the ConfigMap holds no number: a counter that began anew would repeat numbers, and a
/// repeated fence gives a freed address two holders.
pub async fn draw(shared: &Arc<Shared>, count: u64) -> Result<u64, ApiError> {
    if count == 0 {
        return Err(ApiError::Invalid("draw at least one fence".to_owned()));
    }
    let id = Id::namespaced(Kind::ConfigMap, &shared.namespace, NAME);
    for _ in 0..TRIES {
        let drawn = match shared.api.find(&id).await? {
            Some(object) => draw_from(shared, &id, object, count).await,
            None => begin(shared, &id, count).await,
        };
        match drawn {
            Err(error) if error.is_conflict() => {}
            done => return done,
        }
    }
    Err(ApiError::Conflict {
        what: id.to_string(),
        stored: "newer ones".to_owned(),
        expected: "the one read".to_owned(),
    })
}

async fn draw_from(
    shared: &Shared,
    id: &Id,
    mut object: Value,
    count: u64,
) -> Result<u64, ApiError> {
    let text = object["data"]["next"].as_str().unwrap_or_default();
    let next: u64 = text.trim().parse().map_err(|_| {
        ApiError::Invalid(format!(
            "{id}: data.next, the fence counter, is {text:?} and no number: delete the ConfigMap, \
             and it is made anew past every number in use"
        ))
    })?;
    // A counter that somebody put back must not repeat what is in use.
    let first = next.max(shared.look(Index::greatest_number) + 1);
    object["data"]["next"] = after(id, first, count)?.into();
    shared.api.replace(id, "", &object).await?;
    Ok(first)
}

/// The first draw of a cluster, or the first after the counter was deleted.
async fn begin(shared: &Arc<Shared>, id: &Id, count: u64) -> Result<u64, ApiError> {
    let snapshot = shared.read_all().await?;
    let greatest = shared.look(Index::greatest_number);
    let used = greatest > 0 || snapshot.cluster.is_some() || !snapshot.addresses.is_empty();
    let first = if used { greatest + GAP } else { 1 };
    if used {
        tracing::warn!(first, "the fence counter {id} is missing: it is made anew");
    }
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": id.name, "namespace": id.namespace},
        "data": {"next": after(id, first, count)?},
    });
    shared.api.create(id, &object).await?;
    Ok(first)
}

fn after(id: &Id, first: u64, count: u64) -> Result<String, ApiError> {
    let after = first.checked_add(count);
    let after = after
        .ok_or_else(|| ApiError::Invalid(format!("{id}: fewer than {count} numbers are left")))?;
    Ok(after.to_string())
}
