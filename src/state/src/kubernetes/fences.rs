//! The fence counter: `data.next` of a ConfigMap, drawn from by compare-and-swap.

use std::sync::Arc;

use egret_core::model::ResourceVersion;
use serde_json::{Value, json};

use super::cache::ObjectCache;
use super::index::Index;
use super::kind::{ObjectId, ResourceKind};
use crate::error::{StoreError, VersionConflict};

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
pub async fn draw(
    cache: &Arc<ObjectCache>,
    namespace: &str,
    count: u64,
) -> Result<u64, StoreError> {
    if count == 0 {
        return Err(StoreError::Invalid("draw at least one fence".to_owned()));
    }
    let id = ObjectId::namespaced(ResourceKind::ConfigMap, namespace, NAME);
    for _ in 0..TRIES {
        let drawn = match cache.api.find(&id).await? {
            Some(object) => draw_from(cache, &id, object, count).await,
            None => begin(cache, &id, count).await,
        };
        match drawn {
            Err(error) if error.is_conflict() => {}
            done => return done,
        }
    }
    let version = |text: &str| ResourceVersion(text.to_owned());
    let (stored, expected) = (version("newer ones"), version("the one read"));
    Err(VersionConflict::new(id, Some(&stored), Some(&expected)).into())
}

async fn draw_from(
    cache: &ObjectCache,
    id: &ObjectId,
    mut object: Value,
    count: u64,
) -> Result<u64, StoreError> {
    let text = object["data"]["next"].as_str().unwrap_or_default();
    let next: u64 = text.trim().parse().map_err(|_| {
        StoreError::Invalid(format!(
            "{id}: data.next, the fence counter, is {text:?} and no number: delete the ConfigMap, \
             and it is made anew past every number in use"
        ))
    })?;
    // A counter that somebody put back must not repeat what is in use.
    let first = next.max(cache.with_index(Index::greatest_number) + 1);
    object["data"]["next"] = after(id, first, count)?.into();
    cache.api.replace(id, "", &object).await?;
    Ok(first)
}

/// The first draw of a cluster, or the first after the counter was deleted.
async fn begin(cache: &Arc<ObjectCache>, id: &ObjectId, count: u64) -> Result<u64, StoreError> {
    let snapshot = cache.read_all().await?;
    let greatest = cache.with_index(Index::greatest_number);
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
    cache.api.create(id, &object).await?;
    Ok(first)
}

fn after(id: &ObjectId, first: u64, count: u64) -> Result<String, StoreError> {
    let after = first.checked_add(count);
    let after = after
        .ok_or_else(|| StoreError::Invalid(format!("{id}: fewer than {count} numbers are left")))?;
    Ok(after.to_string())
}
