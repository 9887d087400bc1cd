//! Lists and watches of one source, in the API server's own words.

use std::time::Duration;

use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::ApiClient;
use super::decode::{Decoded, ObjectHead, decode, revision};
use super::index::{Selector, WatchSource};
use super::kind::ObjectId;
use crate::error::{Outage, StoreError};

/// Objects of one page of a list.
const PAGE: u32 = 500;
/// A watch is asked to end after this and up to half as long again: the API server's memory of old
/// versions, and a thousand agents that must not come back in one moment.
const WATCH_SECONDS: u64 = 240;
/// API servers send a bookmark every minute: longer silence is a watch that lives no more.
const SILENCE: Duration = Duration::from_secs(150);

/// Everything that a source showed at one version.
#[derive(Debug)]
pub struct Listed {
    pub live: Vec<Decoded>,
    pub version: String,
}

/// One event of a watch.
#[derive(Debug)]
pub enum WatchEvent {
    Applied(Decoded),
    Deleted(Decoded),
    Nothing { revision: Option<u64> },
}

#[derive(Deserialize)]
struct Page<'a> {
    metadata: PageMeta,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta {
    resource_version: String,
    r#continue: String,
}

#[derive(Deserialize)]
struct Line<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: ObjectHead,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WatchError {
    code: u16,
    reason: String,
    message: String,
}

impl WatchSource {
    fn collection(&self) -> String {
        match &self.selector {
            Selector::One { namespace, name } => {
                ObjectId::namespaced(self.kind, namespace, name).folder()
            }
            _ => self.kind.collection(),
        }
    }

    fn query(&self) -> String {
        match &self.selector {
            Selector::All => String::new(),
            Selector::Named(name) => format!("&fieldSelector=metadata.name%3D{name}"),
            Selector::Labelled(label) => format!("&labelSelector={}", label.replace('/', "%2F")),
            Selector::One { name, .. } => format!("&fieldSelector=metadata.name%3D{name}"),
            Selector::OnNode(node) => format!("&fieldSelector=spec.nodeName%3D{node}"),
        }
    }
}

/// Lists a source, as new as the moment of the call.
pub async fn list(api: &ApiClient, source: &WatchSource) -> Result<Listed, StoreError> {
    let mut listed = Listed { live: Vec::new(), version: String::new() };
    let mut next = String::new();
    let mut restarted = false;
    loop {
        let query = source.query();
        let mut path = format!("{}?limit={PAGE}{query}", source.collection());
        if !next.is_empty() {
            path.push_str("&continue=");
            path.push_str(&next);
        }
        let text = match api.text(&path).await {
            Ok(text) => text,
            // The pages' version was forgotten meanwhile: from the first page again.
            Err(error) if error.is_gone() && !next.is_empty() && !restarted => {
                (restarted, next) = (true, String::new());
                listed.live.clear();
                continue;
            }
            Err(error) => return Err(error),
        };
        let page: Page<'_> = serde_json::from_slice(&text).map_err(StoreError::Unreadable)?;
        for item in page.items.into_iter().flatten() {
            listed.live.push(decode(source.kind, item.get()).map_err(StoreError::Unreadable)?);
        }
        listed.version = page.metadata.resource_version;
        next = page.metadata.r#continue;
        if next.is_empty() {
            return Ok(listed);
        }
    }
}

/// A watch that is open.
#[derive(Debug)]
pub struct Watch {
    source: WatchSource,
    body: Body,
    buffer: Vec<u8>,
    /// Where in `buffer` no end of a line was found yet.
    searched: usize,
}

impl Watch {
    /// Opens a watch of what changes after `version`.
    pub async fn open(
        api: &ApiClient,
        source: &WatchSource,
        version: u64,
    ) -> Result<Self, StoreError> {
        let seconds = WATCH_SECONDS + rand::random_range(0..WATCH_SECONDS / 2);
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}\
             &resourceVersion={version}{}",
            source.collection(),
            source.query()
        );
        let body = api.watch(&path).await?;
        Ok(Self { source: source.clone(), body, buffer: Vec::new(), searched: 0 })
    }

    /// The next event; `None` where the API server has ended the watch.
    ///
    /// # Errors
    /// Where it broke, or has been silent for longer than a living one is. `410` in it says that
    /// the version is forgotten.
    pub async fn next(&mut self) -> Result<Option<WatchEvent>, StoreError> {
        loop {
            let unsearched = &self.buffer[self.searched..];
            if let Some(at) = unsearched.iter().position(|byte| *byte == b'\n') {
                let end = self.searched + at;
                let change = change(&self.source, &self.buffer[..end]);
                self.buffer.drain(..=end);
                self.searched = 0;
                return change.map(Some);
            }
            self.searched = self.buffer.len();
            let frame = tokio::time::timeout(SILENCE, self.body.frame()).await;
            match frame.map_err(|_| Outage::Timeout(SILENCE))? {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Err(StoreError::connection(error)),
                None => return Ok(None),
            }
        }
    }
}

fn change(source: &WatchSource, line: &[u8]) -> Result<WatchEvent, StoreError> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(StoreError::Unreadable)?;
    let text = line.object.get();
    let decoded = || decode(source.kind, text).map_err(StoreError::Unreadable);
    match line.r#type {
        "ADDED" | "MODIFIED" => decoded().map(WatchEvent::Applied),
        "DELETED" => decoded().map(WatchEvent::Deleted),
        "ERROR" => {
            let status: WatchError = serde_json::from_str(text).map_err(StoreError::Unreadable)?;
            Err(StoreError::Refused {
                code: status.code,
                reason: status.reason,
                message: status.message,
                retry_after: None,
            })
        }
        // A bookmark; what later versions of the API may add says at least how far it is.
        _ => {
            let bookmark: Bookmark = serde_json::from_str(text).map_err(StoreError::Unreadable)?;
            Ok(WatchEvent::Nothing { revision: revision(&bookmark.metadata.resource_version) })
        }
    }
}
