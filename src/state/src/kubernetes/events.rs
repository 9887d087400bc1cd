//! Events for people, as objects of `events.k8s.io`.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use egret_core::model::{ClaimRef, NamespaceName, ObjectRef, Text as _, Timestamp};
use egret_ports::cluster_state::Event;
use serde::Deserialize;
use serde_json::{Value, json};

use super::cache::ObjectCache;
use super::client::ApiClient;
use super::kind::{ObjectId, ResourceKind};
use super::nirmata;
use crate::convert::object_name;
use crate::error::StoreError;
use crate::mutex::locked;
use crate::recorded_event::RecordedEvent;

/// Equal events within this belong to one series; the API server forgets events after an hour.
const SERIES: Duration = Duration::from_secs(600);
/// Series that are remembered; past that the oldest goes.
const MOST: usize = 256;
const MAX_NOTE: usize = 1024;

/// The events of this process that may be repeated.
#[derive(Debug, Default)]
pub struct EventSeries(BTreeMap<Key, Running>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    about: ObjectRef,
    reason: String,
    note: String,
    source: String,
}

#[derive(Clone, Debug)]
struct Running {
    id: ObjectId,
    count: u32,
    last: Instant,
}

impl EventSeries {
    fn next(&mut self, key: &Key) -> Option<(ObjectId, u32)> {
        self.0.retain(|_, running| running.last.elapsed() < SERIES);
        let running = self.0.get_mut(key)?;
        running.count += 1;
        running.last = Instant::now();
        Some((running.id.clone(), running.count))
    }

    fn begin(&mut self, key: Key, id: ObjectId) {
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, running)| running.last);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(key, Running { id, count: 1, last: Instant::now() });
    }
}

/// Writes an event, or counts it to the series of its equals.
pub async fn write(
    cache: &ObjectCache,
    series: &Mutex<EventSeries>,
    event: Event,
) -> Result<(), StoreError> {
    let key = Key {
        about: event.about.clone(),
        reason: event.reason.clone(),
        note: truncated(&event.message),
        source: event.source.clone(),
    };
    let repeated = locked(series).next(&key);
    if let Some((id, count)) = repeated {
        let occurrence =
            json!({"series": {"count": count, "lastObservedTime": micro_time(event.at)}});
        match cache.api.merge(&id, &occurrence).await {
            Err(error) if error.is_missing() => {}
            done => return done.map(drop),
        }
    }
    let about = visible_object(cache, object_id(&event.about));
    let name = format!("{}.{:016x}", about.name, rand::random::<u64>());
    let namespace = about.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let id = ObjectId::namespaced(ResourceKind::Event, namespace, name);
    cache.api.create(&id, &object(cache, &id, &about, &key, &event)).await?;
    locked(series).begin(key, id);
    Ok(())
}

fn object(cache: &ObjectCache, id: &ObjectId, about: &ObjectId, key: &Key, event: &Event) -> Value {
    let uid = cache.with_index(|index| index.uid(about).cloned());
    let mut regarding = json!({
        "apiVersion": about.kind.api_version(), "kind": about.kind.name(), "name": about.name,
    });
    if let Some(namespace) = &about.namespace {
        regarding["namespace"] = namespace.as_str().into();
    }
    if let Some(uid) = uid {
        regarding["uid"] = uid.as_str().into();
    }
    let part = if event.source == "controller" { "controller" } else { "agent" };
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": id.name, "namespace": id.namespace},
        "eventTime": micro_time(event.at),
        "reportingController": format!("{REPORTER}{part}"),
        "reportingInstance": event.source,
        "action": event.reason,
        "reason": event.reason,
        "regarding": regarding,
        "note": key.note,
        "type": if event.warning { "Warning" } else { "Normal" },
    })
}

const REPORTER: &str = "egret.dev/";

/// The object as the API server knows it; of no known kind it is the cluster that is meant.
fn object_id(object: &ObjectRef) -> ObjectId {
    const KINDS: [ResourceKind; 11] = [
        ResourceKind::Pool,
        ResourceKind::Nirmata,
        ResourceKind::Claim,
        ResourceKind::ClusterClaim,
        ResourceKind::Address,
        ResourceKind::EgressNode,
        ResourceKind::Cluster,
        ResourceKind::Node,
        ResourceKind::Namespace,
        ResourceKind::Service,
        ResourceKind::Pod,
    ];
    let ObjectRef { kind, namespace, name } = object;
    let Some(kind) = KINDS.into_iter().find(|known| known.full_name() == *kind) else {
        return ObjectId::cluster(ResourceKind::Cluster, super::decode::CLUSTER);
    };
    match (namespace, name.parse()) {
        (Some(namespace), _) if kind.is_namespaced() => {
            ObjectId::namespaced(kind, namespace.as_str(), name)
        }
        (None, Ok(address)) if kind == ResourceKind::Address => {
            ObjectId::cluster(kind, object_name(address))
        }
        _ => ObjectId::cluster(kind, name),
    }
}

/// The original project's object where a claim is a rule of it: nobody sees such a claim.
fn visible_object(cache: &ObjectCache, about: ObjectId) -> ObjectId {
    let namespace = about.namespace.as_deref().filter(|_| about.kind == ResourceKind::Claim);
    let claim = namespace
        .map(|namespace| ClaimRef { namespace: Some(namespace.into()), name: about.name.clone() });
    claim.and_then(|claim| nirmata::object_of(cache, &claim)).unwrap_or(about)
}

/// An event is a sentence; the API server takes no longer one.
fn truncated(message: &str) -> String {
    if message.len() <= MAX_NOTE {
        return message.to_owned();
    }
    let most = MAX_NOTE - '…'.len_utf8();
    let end = (0..=most).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &message[..end])
}

fn micro_time(at: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    format!("{time:.6}")
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Found {
    items: Vec<FoundEvent>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FoundEvent {
    event_time: Option<String>,
    series: Option<FoundSeries>,
    reporting_controller: String,
    reporting_instance: String,
    reason: String,
    note: String,
    r#type: String,
    regarding: Regarding,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FoundSeries {
    count: u32,
    last_observed_time: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Regarding {
    kind: String,
    name: String,
    namespace: Option<String>,
}

/// Egret's events, oldest first by their last occurrence.
pub async fn read(api: &ApiClient) -> Result<Vec<RecordedEvent>, StoreError> {
    let mut events = Vec::new();
    for part in ["controller", "agent"] {
        let path = format!(
            "{}?fieldSelector=reportingController%3Degret.dev%2F{part}",
            ResourceKind::Event.collection()
        );
        let found: Found = api.read(&path).await?;
        events.extend(found.items.into_iter().filter_map(recorded));
    }
    events.sort_by_key(|recorded: &RecordedEvent| (recorded.event.at, recorded.first));
    Ok(events)
}

fn recorded(found: FoundEvent) -> Option<RecordedEvent> {
    let first = Timestamp::from_text(found.event_time.as_deref()?).ok()?;
    let last = found.series.as_ref().map(|series| &series.last_observed_time);
    let at = last.and_then(|text| Timestamp::from_text(text).ok()).unwrap_or(first);
    let Regarding { kind, name, namespace } = found.regarding;
    let about = ObjectRef { kind, namespace: namespace.map(NamespaceName::new), name };
    found.reporting_controller.starts_with(REPORTER).then_some(())?;
    Some(RecordedEvent {
        event: Event {
            about,
            warning: found.r#type == "Warning",
            reason: found.reason,
            message: found.note,
            source: found.reporting_instance,
            at,
        },
        count: found.series.map_or(1, |series| series.count),
        first,
    })
}
