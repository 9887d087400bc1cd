//! The kinds that are read and written, and where the API server has them.

use std::fmt;

use egret_api as api;
use egret_core::model::PodRangeSource;

use crate::convert::is_name;
use crate::error::StoreError;

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    Pool,
    Claim,
    ClusterClaim,
    Address,
    EgressNode,
    Cluster,
    Node,
    Namespace,
    Service,
    Pod,
    ServiceCidr,
    EndpointSlice,
    CalicoCrd,
    CalicoApi,
    CiliumNode,
    /// The original project's `StaticEgressIP`.
    Nirmata,
    ConfigMap,
    DaemonSet,
    Deployment,
    Event,
    Job,
    Lease,
}

/// Names a kind in paths and sentences.
struct Names {
    /// `/api/v1` or `/apis/GROUP/VERSION`.
    base: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
}

const OURS: &str = "/apis/egret.dev/v1alpha1";

impl ResourceKind {
    fn names(self) -> Names {
        let (base, plural, kind, namespaced) = match self {
            Self::Pool => (OURS, "egresspools", "EgressPool", false),
            Self::Claim => (OURS, "staticegressips", "StaticEgressIP", true),
            Self::ClusterClaim => (OURS, "clusterstaticegressips", "ClusterStaticEgressIP", false),
            Self::Address => (OURS, "egressaddresses", "EgressAddress", false),
            Self::EgressNode => (OURS, "egressnodes", "EgressNode", false),
            Self::Cluster => (OURS, "egressclusters", "EgressCluster", false),
            Self::Node => ("/api/v1", "nodes", "Node", false),
            Self::Namespace => ("/api/v1", "namespaces", "Namespace", false),
            Self::Service => ("/api/v1", "services", "Service", true),
            Self::Pod => ("/api/v1", "pods", "Pod", true),
            Self::ServiceCidr => {
                ("/apis/networking.k8s.io/v1", "servicecidrs", "ServiceCIDR", false)
            }
            Self::EndpointSlice => {
                ("/apis/discovery.k8s.io/v1", "endpointslices", "EndpointSlice", true)
            }
            Self::CalicoCrd => ("/apis/crd.projectcalico.org/v1", "ippools", "IPPool", false),
            Self::CalicoApi => ("/apis/projectcalico.org/v3", "ippools", "IPPool", false),
            Self::CiliumNode => ("/apis/cilium.io/v2", "ciliumnodes", "CiliumNode", false),
            Self::Nirmata => (
                "/apis/staticegressips.nirmata.io/v1alpha1",
                "staticegressips",
                "StaticEgressIP",
                true,
            ),
            Self::ConfigMap => ("/api/v1", "configmaps", "ConfigMap", true),
            Self::DaemonSet => ("/apis/apps/v1", "daemonsets", "DaemonSet", true),
            Self::Job => ("/apis/batch/v1", "jobs", "Job", true),
            Self::Deployment => ("/apis/apps/v1", "deployments", "Deployment", true),
            Self::Event => ("/apis/events.k8s.io/v1", "events", "Event", true),
            Self::Lease => ("/apis/coordination.k8s.io/v1", "leases", "Lease", true),
        };
        Names { base, plural, kind, namespaced }
    }

    /// The ranges that its objects have: of pods, or (`Some(None)`) of Services. Nodes say themselves how
    /// theirs were read.
    pub fn ranges(self) -> Option<Option<PodRangeSource>> {
        match self {
            Self::ServiceCidr => Some(None),
            Self::CalicoCrd | Self::CalicoApi => Some(Some(PodRangeSource::CalicoIPPools)),
            Self::CiliumNode => Some(Some(PodRangeSource::CiliumNodes)),
            _ => None,
        }
    }

    /// Whether an object that is deleted and made anew is the same to Egret.
    pub fn is_known_by_name(self) -> bool {
        matches!(self, Self::Pool | Self::Claim | Self::ClusterClaim | Self::Nirmata)
    }

    /// The group and version as a path.
    pub fn base(self) -> &'static str {
        self.names().base
    }

    /// The resource's name in paths and in discovery.
    pub fn plural(self) -> &'static str {
        self.names().plural
    }

    /// `kind` of an object.
    pub fn name(self) -> &'static str {
        self.names().kind
    }

    /// Its name in sentences: another group's optional kind with its group.
    pub fn full_name(self) -> String {
        if self.is_ours() || !self.is_optional() {
            return self.name().to_owned();
        }
        let group = self.api_version();
        format!("{}.{}", self.name(), group.split('/').next().unwrap_or(group))
    }

    /// `apiVersion` of an object.
    pub fn api_version(self) -> &'static str {
        let base = self.names().base;
        base.strip_prefix("/apis/").or_else(|| base.strip_prefix("/api/")).unwrap_or(base)
    }

    /// Whether objects are in namespaces.
    pub fn is_namespaced(self) -> bool {
        self.names().namespaced
    }

    /// Whether a cluster may do without it.
    pub fn is_optional(self) -> bool {
        matches!(
            self,
            Self::ServiceCidr
                | Self::CalicoCrd
                | Self::CalicoApi
                | Self::CiliumNode
                | Self::EndpointSlice
                | Self::Nirmata
        )
    }

    /// Whether all else goes on without what such an answer keeps from us. An optional kind that is not
    /// there is not asked for again; of the EndpointSlice somebody may be told that it is missing.
    pub fn is_withheld_by(self, error: &StoreError) -> bool {
        let missing = self == Self::EndpointSlice && error.is_missing();
        self.is_optional() && (missing || error.code() == Some(403))
    }

    /// Whether it is of Egret's own group.
    pub fn is_ours(self) -> bool {
        self.api_version() == api::API_VERSION
    }

    /// The path of all objects.
    pub fn collection(self) -> String {
        format!("{}/{}", self.base(), self.plural())
    }
}

/// Names one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    pub kind: ResourceKind,
    pub namespace: Option<String>,
    pub name: String,
}

impl ObjectId {
    /// An object without namespace.
    pub fn cluster(kind: ResourceKind, name: impl Into<String>) -> Self {
        Self { kind, namespace: None, name: name.into() }
    }

    /// An object of a namespace.
    pub fn namespaced(
        kind: ResourceKind,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self { kind, namespace: Some(namespace.into()), name: name.into() }
    }

    /// Itself, where its names are such as an object can have: they become part of a path.
    ///
    /// # Errors
    /// Where they are not.
    pub fn checked(self) -> Result<Self, StoreError> {
        let wrong = self.namespace.iter().chain([&self.name]).find(|name| !is_name(name)).cloned();
        match wrong {
            Some(name) => {
                Err(StoreError::Invalid(format!("{name:?} is not a name that an object can have")))
            }
            None => Ok(self),
        }
    }

    /// The path of all objects beside it.
    pub fn folder(&self) -> String {
        match &self.namespace {
            Some(namespace) => {
                format!("{}/namespaces/{namespace}/{}", self.kind.base(), self.kind.plural())
            }
            None => self.kind.collection(),
        }
    }

    /// Its path.
    pub fn path(&self) -> String {
        format!("{}/{}", self.folder(), self.name)
    }
}

/// `EgressPool partners`, `StaticEgressIP payments/bank`; another group's kind with its group.
impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.full_name())?;
        match &self.namespace {
            Some(namespace) => write!(f, " {namespace}/{}", self.name),
            None => write!(f, " {}", self.name),
        }
    }
}
