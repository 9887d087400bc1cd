//! What all tasks of the store's thread share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use egret_core::model::{Scope, Snapshot};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::View;
use super::client::Api;
use super::decode::revision;
use super::error::ApiError;
use super::events::Series;
use super::index::{Index, Selector, Source};
use super::kind::Kind;
use super::leader::Observed;
use super::list::{Listed, list};

/// The label of an `EgressNode` that every agent knows.
pub const ROLE_LABEL: &str = "egret.dev/role";

/// See the module.
#[derive(Debug)]
pub struct Shared {
    pub api: Api,
    pub view: View,
    /// Where the Lease and the fence counter live.
    pub namespace: String,
    pub snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    pub observed: Mutex<Option<Observed>>,
    pub series: Mutex<Series>,
    /// Marked changed whenever the index or `optional` may have changed.
    pub touched: watch::Sender<()>,
    index: Mutex<Index>,
    /// The optional kinds that the API server has; `None` before it was asked.
    optional: Mutex<Option<BTreeSet<Kind>>>,
}

impl Shared {
    pub fn new(api: Api, view: View, namespace: String) -> Self {
        Self {
            api,
            view,
            namespace,
            snapshot: watch::Sender::new(None),
            observed: Mutex::default(),
            series: Mutex::default(),
            touched: watch::Sender::new(()),
            index: Mutex::default(),
            optional: Mutex::default(),
        }
    }

    /// Reads the index.
    pub fn look<T>(&self, read: impl FnOnce(&Index) -> T) -> T {
        read(&locked(&self.index))
    }

    /// Changes the index.
    pub fn change(&self, write: impl FnOnce(&mut Index)) {
        write(&mut locked(&self.index));
        self.touched.send_replace(());
    }

    /// How much of the cluster the view shows.
    pub fn scope(&self) -> Scope {
        match self.view {
            View::Agent { .. } => Scope::Node,
            View::Controller | View::Reader | View::Pod { .. } => Scope::Cluster,
        }
    }

    /// The snapshot that the index makes now.
    pub fn assemble(&self) -> Snapshot {
        self.look(|index| index.snapshot(self.scope()))
    }

    /// The sources of a complete snapshot, as far as is known now; `None` before it is known which
    /// optional kinds there are.
    pub fn wanted(&self) -> Option<BTreeSet<Source>> {
        use Kind::{
            Address, CalicoApi, CalicoCrd, CiliumNode, ClusterClaim, EgressNode, Namespace,
            Nirmata, Node, Pod, Pool, Service, ServiceCidr,
        };
        let optional = locked(&self.optional).clone()?;
        let all = |kind: Kind| Source { kind, selector: Selector::All };
        let present = |kind: &Kind| !kind.is_optional() || optional.contains(kind);
        let everywhere = [Pool, Kind::Claim, ClusterClaim, Address, Kind::Cluster];
        let mut wanted: BTreeSet<Source> = everywhere.map(all).into();
        wanted.extend([Nirmata].into_iter().filter(present).map(all));
        match &self.view {
            View::Controller | View::Reader | View::Pod { .. } => {
                let more = [
                    EgressNode,
                    Node,
                    Namespace,
                    Service,
                    ServiceCidr,
                    CalicoCrd,
                    CalicoApi,
                    CiliumNode,
                ];
                wanted.extend(more.into_iter().filter(present).map(all));
                if let View::Pod { namespace, name } = &self.view {
                    let (namespace, name) = (namespace.as_str().to_owned(), name.clone());
                    wanted
                        .insert(Source { kind: Pod, selector: Selector::One { namespace, name } });
                }
            }
            View::Agent { node } => {
                let node = node.as_str().to_owned();
                wanted.insert(Source { kind: Pod, selector: Selector::OnNode(node.clone()) });
                // A gateway opens the port blocks of every node, and a voter counts them all.
                if self.look(|index| index.has_roles(&node)) {
                    wanted.insert(all(EgressNode));
                } else {
                    let kind = EgressNode;
                    wanted.insert(Source { kind, selector: Selector::Labelled(ROLE_LABEL) });
                    wanted.insert(Source { kind, selector: Selector::Named(node) });
                }
            }
        }
        Some(wanted)
    }

    /// Asks the API server which optional kinds of this view it has.
    pub async fn discover(&self) -> Result<(), ApiError> {
        let kinds: &[Kind] = match self.view {
            View::Agent { .. } => &[Kind::Nirmata],
            View::Controller | View::Reader | View::Pod { .. } => &[
                Kind::ServiceCidr,
                Kind::CalicoCrd,
                Kind::CalicoApi,
                Kind::CiliumNode,
                Kind::Nirmata,
            ],
        };
        let mut found = BTreeSet::new();
        for kind in kinds {
            if self.exists(*kind).await? {
                found.insert(*kind);
            }
        }
        *locked(&self.optional) = Some(found);
        self.touched.send_replace(());
        Ok(())
    }

    async fn exists(&self, kind: Kind) -> Result<bool, ApiError> {
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

    /// Lists everything of this view anew and brings the index up to it.
    pub async fn read_all(self: &Arc<Self>) -> Result<Arc<Snapshot>, ApiError> {
        if locked(&self.optional).is_none() {
            self.discover().await?;
        }
        let mut read: BTreeSet<Source> = BTreeSet::new();
        loop {
            // What is read says what else must be: a gateway needs every EgressNode.
            let wanted = self.wanted().unwrap_or_default();
            let missing: Vec<Source> = wanted.difference(&read).cloned().collect();
            if missing.is_empty() {
                return Ok(Arc::new(self.assemble()));
            }
            for (source, listed) in self.list_all(missing).await? {
                let version = revision(&listed.version);
                self.change(|index| index.reset(&source, listed.live, version));
                read.insert(source);
            }
        }
    }

    async fn list_all(
        self: &Arc<Self>,
        sources: Vec<Source>,
    ) -> Result<BTreeMap<Source, Listed>, ApiError> {
        let mut tasks = JoinSet::new();
        for source in sources {
            let shared = Arc::clone(self);
            tasks.spawn(async move { (list(&shared.api, &source).await, source) });
        }
        let mut all = BTreeMap::new();
        while let Some(done) = tasks.join_next().await {
            let (listed, source) = done.map_err(|_| ApiError::Closed)?;
            let optional = source.kind.is_optional();
            match listed {
                Ok(listed) => {
                    all.insert(source, listed);
                }
                Err(error) if optional && matches!(error.code(), Some(403 | 404)) => {
                    all.insert(source, Listed { live: Vec::new(), version: String::new() });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every value behind these locks is whole between two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
