//! Requests to the API server: one connection, an end to every wait, and what their outcomes say
//! of its reachability.

use std::fmt;
use std::time::Duration;

use http::{Method, Request, Response, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::error::ApiError;
use super::kind::{Id, Kind};

/// The longest wait for the answer to a request that is not a watch.
pub const REQUEST: Duration = Duration::from_secs(10);
/// The longest wait for the answer to a probe.
const PROBE: Duration = Duration::from_secs(5);

/// The API server.
pub struct Api {
    client: Client,
    field_manager: String,
    reachable: watch::Sender<bool>,
    /// Woken where a request failed in a way that may mean an outage.
    suspect: Notify,
}

impl fmt::Debug for Api {
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

impl Api {
    pub fn new(client: Client, field_manager: String) -> Self {
        let reachable = watch::Sender::new(true);
        Self { client, field_manager, reachable, suspect: Notify::new() }
    }

    /// Whether the last access succeeded.
    pub fn reachable(&self) -> watch::Receiver<bool> {
        self.reachable.subscribe()
    }

    /// Reads one object, as new as the moment of the call.
    pub async fn get(&self, id: &Id) -> Result<Value, ApiError> {
        self.json(Method::GET, &id.path(), Content::None).await
    }

    /// Reads one object, or `None` where there is no such.
    pub async fn find(&self, id: &Id) -> Result<Option<Value>, ApiError> {
        match self.get(id).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an object; a conflict where it exists.
    pub async fn create(&self, id: &Id, object: &Value) -> Result<Value, ApiError> {
        let path = format!("{}?fieldManager={}", id.folder(), self.field_manager);
        self.json(Method::POST, &path, Content::Json(object)).await
    }

    /// Replaces an object, or with `subresource` that part of it, where it still has the
    /// resourceVersion in `object`.
    pub async fn replace(
        &self,
        id: &Id,
        subresource: &str,
        object: &Value,
    ) -> Result<Value, ApiError> {
        let path = format!("{}{subresource}?fieldManager={}", id.path(), self.field_manager);
        self.json(Method::PUT, &path, Content::Json(object)).await
    }

    /// Applies a status, whoever wrote its fields before.
    pub async fn apply_status(&self, id: &Id, object: &Value) -> Result<Value, ApiError> {
        let manager = &self.field_manager;
        let path = format!("{}/status?fieldManager={manager}&force=true", id.path());
        self.json(Method::PATCH, &path, Content::Apply(object)).await
    }

    /// Changes the fields of an object that `patch` names.
    pub async fn merge(&self, id: &Id, patch: &Value) -> Result<Value, ApiError> {
        let path = format!("{}?fieldManager={}", id.path(), self.field_manager);
        self.json(Method::PATCH, &path, Content::Merge(patch)).await
    }

    /// Deletes an object that still has this version; returns the object where finalizers keep it.
    pub async fn delete(&self, id: &Id, version: &str) -> Result<Value, ApiError> {
        let options = serde_json::json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"resourceVersion": version},
        });
        self.json(Method::DELETE, &id.path(), Content::Json(&options)).await
    }

    /// One request for what the API server knows without its store, such as its kinds: an answer
    /// says nothing of whether objects can be read.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        let asked = self.exchange(Method::GET, path, Content::None, REQUEST).await;
        if let Err(error) = &asked {
            self.note(Some(error));
        }
        serde_json::from_slice(&asked?).map_err(ApiError::Unreadable)
    }

    /// One request for JSON at `path`.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        let text = self.bytes(Method::GET, path, Content::None, REQUEST).await?;
        serde_json::from_slice(&text).map_err(ApiError::Unreadable)
    }

    /// The text at `path`.
    pub async fn text(&self, path: &str) -> Result<Vec<u8>, ApiError> {
        self.bytes(Method::GET, path, Content::None, REQUEST).await
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        content: Content<'_>,
    ) -> Result<Value, ApiError> {
        let text = self.bytes(method, path, content, REQUEST).await?;
        serde_json::from_slice(&text).map_err(ApiError::Unreadable)
    }

    async fn bytes(
        &self,
        method: Method,
        path: &str,
        content: Content<'_>,
        patience: Duration,
    ) -> Result<Vec<u8>, ApiError> {
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
    ) -> Result<Vec<u8>, ApiError> {
        let exchange = async {
            let response = self.send(method, path, content).await?;
            collect(response.into_body()).await
        };
        let result = tokio::time::timeout(patience, exchange).await;
        result.unwrap_or(Err(ApiError::Timeout(patience)))
    }

    /// Opens a watch; its body is lines of events.
    pub async fn watch(&self, path: &str) -> Result<Body, ApiError> {
        let opening = self.send(Method::GET, path, Content::None);
        let result = match tokio::time::timeout(REQUEST, opening).await {
            Ok(result) => result.map(Response::into_body),
            Err(_) => Err(ApiError::Timeout(REQUEST)),
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
    ) -> Result<Response<Body>, ApiError> {
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
            .map_err(|error| ApiError::Invalid(format!("{path}: {error}")))?;
        let sent = self.client.send(request).await;
        let response = sent.map_err(|error| ApiError::Unreachable(error.into()))?;
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
        Err(ApiError::Refused {
            code,
            reason: status.reason,
            message: status.message,
            retry_after: after.map(Duration::from_secs),
        })
    }

    /// Takes the outcome of a request into account.
    pub fn note(&self, error: Option<&ApiError>) {
        match error {
            Some(error) if error.is_silence() => {
                self.set_reachable(false, Some(error));
                self.suspect.notify_one();
            }
            // An API server without etcd, or one webhook that fails: a probe tells them apart.
            Some(error) if error.code().is_some_and(|code| code >= 500) => {
                self.suspect.notify_one();
            }
            Some(_) => {}
            None => self.set_reachable(true, None),
        }
    }

    fn set_reachable(&self, now: bool, error: Option<&ApiError>) {
        self.reachable.send_if_modified(|before| {
            if *before != now {
                match error {
                    Some(error) => tracing::warn!(%error, "the store is unreachable"),
                    None => tracing::info!("the store is reachable again"),
                }
            }
            std::mem::replace(before, now) != now
        });
    }

    /// Asks after every suspicion until an answer comes, so that who is silent at rest learns of
    /// the end of an outage. Never returns.
    pub async fn probe(&self) {
        // A list is a quorum read: it fails where etcd does.
        let path = format!("{}?limit=1", Kind::Cluster.collection());
        loop {
            self.suspect.notified().await;
            let mut pause = Duration::from_millis(500);
            loop {
                let asked = self.bytes(Method::GET, &path, Content::None, PROBE).await;
                match asked {
                    Err(error) if error.is_silence() => {}
                    Err(error) if error.code().is_some_and(|code| code >= 500) => {
                        self.set_reachable(false, Some(&error));
                    }
                    // A refusal is an answer too.
                    _ => {
                        self.set_reachable(true, None);
                        break;
                    }
                }
                tokio::time::sleep(jittered(pause)).await;
                pause = (pause * 2).min(Duration::from_secs(4));
            }
        }
    }
}

/// `pause` and up to half of it more: a thousand agents must not come back in one moment.
pub fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + rand::random::<f64>() / 2.0)
}

fn encode(value: &Value) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|error| ApiError::Invalid(error.to_string()))
}

async fn collect(body: Body) -> Result<Vec<u8>, ApiError> {
    let body = body.collect().await;
    Ok(body.map_err(|error| ApiError::Unreachable(error.into()))?.to_bytes().into())
}
