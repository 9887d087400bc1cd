//! What was read of the API server, and the snapshot of it that is published.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use egret_core::model::{NodeName, ResourceVersion, Snapshot};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::client::ApiClient;
use super::decode::{decode, revision};
use super::index::{Index, Selector, WatchSource};
use super::kind::{ObjectId, ResourceKind};
use super::list::{Listed, list};
use super::object::version;
use super::scope::WatchScope;
use crate::error::StoreError;
use crate::mutex::locked;

/// The pods of so many nodes without an agent are read at most, in order of the nodes' names: where more have
/// none, what is said of these says it all.
const MOST_WITHOUT_AGENT: usize = 32;

/// The index of what a scope shows, with the API server that it is read from.
#[derive(Debug)]
pub struct ObjectCache {
    /// The API server.
    pub api: ApiClient,
    /// What is read of it.
    pub scope: WatchScope,
    snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    touched: watch::Sender<()>,
    index: Mutex<Index>,
    /// The optional kinds that the API server has; `None` before it was asked.
    optional: Mutex<Option<BTreeSet<ResourceKind>>>,
}

/// A source that may be done without and was not to be had; whether for want of the right to.
struct Withheld {
    not_allowed: bool,
}

impl ObjectCache {
    /// Nothing has been read yet.
    pub fn new(api: ApiClient, scope: WatchScope) -> Self {
        Self {
            api,
            scope,
            snapshot: watch::Sender::new(None),
            touched: watch::Sender::new(()),
            index: Mutex::default(),
            optional: Mutex::default(),
        }
    }

    /// The snapshot that was published last, and those that follow.
    pub fn snapshot(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshot.subscribe()
    }

    /// Changes whenever the index or what is known of optional kinds may have changed.
    pub fn touched(&self) -> watch::Receiver<()> {
        self.touched.subscribe()
    }

    /// Reads the index.
    pub fn with_index<T>(&self, read: impl FnOnce(&Index) -> T) -> T {
        read(&locked(&self.index))
    }

    /// Changes the index.
    pub fn update_index(&self, write: impl FnOnce(&mut Index)) {
        write(&mut locked(&self.index));
        self.touched.send_replace(());
    }

    /// Shows the process what it wrote itself, and returns the version now stored.
    pub fn note_written(
        &self,
        id: &ObjectId,
        written: Result<Value, StoreError>,
    ) -> Result<ResourceVersion, StoreError> {
        let object = written?;
        let version = version(&object);
        if let Ok(decoded) = decode(id.kind, &object.to_string()) {
            self.update_index(|index| index.written(decoded));
        }
        Ok(version)
    }

    fn assemble(&self) -> Arc<Snapshot> {
        Arc::new(self.with_index(|index| index.snapshot(self.scope.of_snapshot())))
    }

    /// Publishes the snapshot that the index makes now, where it is another.
    pub fn publish(&self) {
        let snapshot = self.assemble();
        self.snapshot.send_if_modified(|published| {
            let changed = published.as_ref() != Some(&snapshot);
            if changed {
                *published = Some(snapshot);
            }
            changed
        });
    }

    /// The sources of a complete snapshot, as far as is known now; `None` before it is known which
    /// optional kinds there are.
    pub fn wanted(&self) -> Option<BTreeSet<WatchSource>> {
        let optional = locked(&self.optional).clone()?;
        let has_roles = |node: &NodeName| self.with_index(|index| index.has_roles(node.as_str()));
        Some(self.scope.sources(&optional, has_roles))
    }

    /// The sources that a snapshot shows as far as they have been listed: the controller's, the pods of some
    /// nodes without an agent, of which nobody else says anything.
    pub fn wanted_besides(&self) -> BTreeSet<WatchSource> {
        match self.scope {
            WatchScope::Controller => self.with_index(|index| {
                let nodes = index.without_agent().take(MOST_WITHOUT_AGENT);
                let pods = |node| WatchSource {
                    kind: ResourceKind::Pod,
                    selector: Selector::OnNode(node),
                };
                nodes.map(pods).collect()
            }),
            WatchScope::Agent { .. } | WatchScope::Reader | WatchScope::Pod { .. } => {
                BTreeSet::new()
            }
        }
    }

    /// Asks the API server which optional kinds of this scope it has.
    pub async fn discover(&self) -> Result<(), StoreError> {
        let mut found = BTreeSet::new();
        for kind in self.scope.optional_kinds() {
            if self.exists(*kind).await? {
                found.insert(*kind);
            }
        }
        *locked(&self.optional) = Some(found);
        self.touched.send_replace(());
        Ok(())
    }

    async fn exists(&self, kind: ResourceKind) -> Result<bool, StoreError> {
        #[derive(serde::Deserialize)]
        struct Resources {
            resources: Vec<Resource>,
        }
        #[derive(serde::Deserialize)]
        struct Resource {
            name: String,
        }
        match self.api.ask::<Resources>(kind.base()).await {
            Ok(found) => Ok(found.resources.iter().any(|found| found.name == kind.plural())),
            Err(error) if error.is_missing() => Ok(false),
            // An aggregated API whose server is down is not the end of everything.
            Err(error) if error.code().is_some() => {
                tracing::warn!(kind = kind.plural(), %error, "cannot ask for an optional kind");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Lists everything of this scope anew and brings the index up to it.
    pub async fn read_all(self: &Arc<Self>) -> Result<Arc<Snapshot>, StoreError> {
        if locked(&self.optional).is_none() {
            self.discover().await?;
        }
        let mut read: BTreeSet<WatchSource> = BTreeSet::new();
        loop {
            // What is read says what else must be: a gateway needs every EgressNode.
            let wanted = self.wanted().unwrap_or_default();
            let missing: Vec<WatchSource> = wanted.difference(&read).cloned().collect();
            if missing.is_empty() {
                return Ok(self.assemble());
            }
            for (source, listed) in self.list_all(missing).await? {
                self.update_index(|index| match listed {
                    Ok(listed) => index.reset(&source, listed.live, revision(&listed.version)),
                    Err(Withheld { not_allowed }) => index.withhold(&source, not_allowed),
                });
                read.insert(source);
            }
        }
    }

    async fn list_all(
        self: &Arc<Self>,
        sources: Vec<WatchSource>,
    ) -> Result<BTreeMap<WatchSource, Result<Listed, Withheld>>, StoreError> {
        let mut tasks = JoinSet::new();
        for source in sources {
            let cache = Arc::clone(self);
            tasks.spawn(async move { (list(&cache.api, &source).await, source) });
        }
        let mut all = BTreeMap::new();
        while let Some(done) = tasks.join_next().await {
            let (listed, source) = done.map_err(|_| StoreError::Closed)?;
            let optional = source.kind.is_optional();
            match listed {
                Ok(listed) => {
                    all.insert(source, Ok(listed));
                }
                Err(error) if optional && matches!(error.code(), Some(403 | 404)) => {
                    let not_allowed = error.code() == Some(403);
                    all.insert(source, Err(Withheld { not_allowed }));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}
