//! Requests to the API server: one connection, an end to every wait, and what their outcomes say
//! of its reachability.

use std::fmt;
use std::time::Duration;

use egret_ports::backoff::{ExponentialDelay, jittered};
use http::{Method, Request, Response, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::kind::{ObjectId, ResourceKind};
use crate::error::{Outage, StoreError};
use crate::reachability::Reachability;

/// The longest wait for the answer to a request that is not a watch.
pub const REQUEST: Duration = Duration::from_secs(10);
/// The longest wait for the answer to a probe.
const PROBE: Duration = Duration::from_secs(5);
/// Between two probes of an outage.
const PROBE_DELAY: ExponentialDelay =
    ExponentialDelay { initial: Duration::from_millis(500), max: Duration::from_secs(4) };

/// The API server.
pub struct ApiClient {
    client: Client,
    field_manager: String,
    reachable: Reachability,
    /// Woken where a request failed in a way that may mean an outage.
    suspect: Notify,
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("field_manager", &self.field_manager).finish_non_exhaustive()
    }
}

/// What is sent with a request.
enum Content<'a> {
    None,
    Json(&'a Value),
    /// A server-side apply.
    Apply(&'a Value),
    /// A merge patch (RFC 7396).
    Merge(&'a Value),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    reason: String,
}

impl ApiClient {
    pub fn new(client: Client, field_manager: String) -> Self {
        let reachable = Reachability::default();
        Self { client, field_manager, reachable, suspect: Notify::new() }
    }

    /// Whether the last access succeeded.
    pub fn reachable(&self) -> watch::Receiver<bool> {
        self.reachable.subscribe()
    }

    /// Reads one object, as new as the moment of the call.
    pub async fn get(&self, id: &ObjectId) -> Result<Value, StoreError> {
        self.json(Method::GET, &id.path(), Content::None).await
    }

    /// Reads one object, or `None` where there is no such.
    pub async fn find(&self, id: &ObjectId) -> Result<Option<Value>, StoreError> {
        match self.get(id).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an object; a conflict where it exists.
    pub async fn create(&self, id: &ObjectId, object: &Value) -> Result<Value, StoreError> {
        let path = format!("{}?fieldManager={}", id.folder(), self.field_manager);
        self.json(Method::POST, &path, Content::Json(object)).await
    }

    /// Replaces an object, or with `subresource` that part of it, where it still has the
    /// resourceVersion in `object`.
    pub async fn replace(
        &self,
        id: &ObjectId,
        subresource: &str,
        object: &Value,
    ) -> Result<Value, StoreError> {
        let path = format!("{}{subresource}?fieldManager={}", id.path(), self.field_manager);
        self.json(Method::PUT, &path, Content::Json(object)).await
    }

    /// Applies a status, whoever wrote its fields before.
    pub async fn apply_status(&self, id: &ObjectId, object: &Value) -> Result<Value, StoreError> {
        self.apply_status_as(&self.field_manager, id, object).await
    }

    /// The same, as a field manager of its own: what others have applied stays, and so does this when they
    /// apply again.
    pub async fn apply_status_as(
        &self,
        manager: &str,
        id: &ObjectId,
        object: &Value,
    ) -> Result<Value, StoreError> {
        let path = format!("{}/status?fieldManager={manager}&force=true", id.path());
        self.json(Method::PATCH, &path, Content::Apply(object)).await
    }

    /// Changes the fields of an object that `patch` names.
    pub async fn merge(&self, id: &ObjectId, patch: &Value) -> Result<Value, StoreError> {
        let path = format!("{}?fieldManager={}", id.path(), self.field_manager);
        self.json(Method::PATCH, &path, Content::Merge(patch)).await
    }

    /// Deletes an object that still has this version; returns the object where finalizers keep it.
    pub async fn delete(&self, id: &ObjectId, version: &str) -> Result<Value, StoreError> {
        let options = serde_json::json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"resourceVersion": version},
        });
        self.json(Method::DELETE, &id.path(), Content::Json(&options)).await
    }

    /// One request for what the API server knows without its store, such as its kinds: an answer
    /// says nothing of whether objects can be read.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, StoreError> {
        let asked = self.exchange(Method::GET, path, Content::None, REQUEST).await;
        if let Err(error) = &asked {
            self.note(Some(error));
        }
        serde_json::from_slice(&asked?).map_err(StoreError::Unreadable)
    }

    /// One request for JSON at `path`.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, StoreError> {
        let text = self.bytes(Method::GET, path, Content::None, REQUEST).await?;
        serde_json::from_slice(&text).map_err(StoreError::Unreadable)
    }

    /// The text at `path`.
    pub async fn text(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        self.bytes(Method::GET, path, Content::None, REQUEST).await
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        content: Content<'_>,
    ) -> Result<Value, StoreError> {
        let text = self.bytes(method, path, content, REQUEST).await?;
        serde_json::from_slice(&text).map_err(StoreError::Unreadable)
    }

    async fn bytes(
        &self,
        method: Method,
        path: &str,
        content: Content<'_>,
        patience: Duration,
    ) -> Result<Vec<u8>, StoreError> {
        let result = self.exchange(method, path, content, patience).await;
        self.note(result.as_ref().err());
        result
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        content: Content<'_>,
        patience: Duration,
    ) -> Result<Vec<u8>, StoreError> {
        let exchange = async {
            let response = self.send(method, path, content).await?;
            collect(response.into_body()).await
        };
        let result = tokio::time::timeout(patience, exchange).await;
        result.unwrap_or(Err(Outage::Timeout(patience).into()))
    }

    /// Opens a watch; its body is lines of events.
    pub async fn watch(&self, path: &str) -> Result<Body, StoreError> {
        let opening = self.send(Method::GET, path, Content::None);
        let result = match tokio::time::timeout(REQUEST, opening).await {
            Ok(result) => result.map(Response::into_body),
            Err(_) => Err(Outage::Timeout(REQUEST).into()),
        };
        // A watch is served from memory while etcd is away: it says nothing good.
        if let Err(error) = &result {
            self.note(Some(error));
        }
        result
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content: Content<'_>,
    ) -> Result<Response<Body>, StoreError> {
        let mut request = Request::builder().method(method).uri(path);
        let (kind, body) = match content {
            Content::None => (None, Vec::new()),
            Content::Json(value) => (Some("application/json"), encode(value)?),
            Content::Apply(value) => (Some("application/apply-patch+yaml"), encode(value)?),
            Content::Merge(value) => (Some("application/merge-patch+json"), encode(value)?),
        };
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request
            .header(header::ACCEPT, "application/json")
            .body(Body::from(body))
            .map_err(|error| StoreError::Invalid(format!("{path}: {error}")))?;
        let sent = self.client.send(request).await;
        let response = sent.map_err(StoreError::connection)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let after = response.headers().get(header::RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
        let text = collect(response.into_body()).await?;
        let status: Status = serde_json::from_slice(&text).unwrap_or_else(|_| Status {
            message: String::from_utf8_lossy(&text).trim().to_owned(),
            ..Status::default()
        });
        Err(StoreError::Refused {
            code,
            reason: status.reason,
            message: status.message,
            retry_after: after.map(Duration::from_secs),
        })
    }

    /// Takes the outcome of a request into account.
    pub fn note(&self, error: Option<&StoreError>) {
        match error {
            Some(error) if error.is_outage() => {
                self.reachable.set(Some(error));
                self.suspect.notify_one();
            }
            // An API server without etcd, or one webhook that fails: a probe tells them apart.
            Some(error) if error.code().is_some_and(|code| code >= 500) => {
                self.suspect.notify_one();
            }
            Some(_) => {}
            None => self.reachable.set(None),
        }
    }

    /// Asks after every suspicion until an answer comes, so that who is silent at rest learns of
    /// the end of an outage. Never returns.
    pub async fn probe(&self) {
        // A list is a quorum read: it fails where etcd does.
        let path = format!("{}?limit=1", ResourceKind::Cluster.collection());
        loop {
            self.suspect.notified().await;
            for failures in 1.. {
                let asked = self.bytes(Method::GET, &path, Content::None, PROBE).await;
                match asked {
                    Err(error) if error.is_outage() => {}
                    Err(error) if error.code().is_some_and(|code| code >= 500) => {
                        self.reachable.set(Some(&error));
                    }
                    // A refusal is an answer too.
                    _ => {
                        self.reachable.set(None);
                        break;
                    }
                }
                tokio::time::sleep(jittered(PROBE_DELAY.after(failures))).await;
            }
        }
    }
}

fn encode(value: &Value) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Invalid(error.to_string()))
}

async fn collect(body: Body) -> Result<Vec<u8>, StoreError> {
    let body = body.collect().await;
    Ok(body.map_err(StoreError::connection)?.to_bytes().into())
}
