use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::{ClaimRef, NamespaceName, NodeName, PoolName};

/// Names one object of any kind, for events, errors and logs.
///
/// Displayed as `StaticEgressIP payments/bank`, `EgressNode node-3`, or the kind alone where it has
/// no name. Parsed from the same text: what was read of a store is shown as it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// `kind` of the object; another group's optional kind with its group.
    pub kind: String,
    /// The namespace, where the kind has any.
    pub namespace: Option<NamespaceName>,
    /// The name; of an `EgressAddress` the address. Empty where the kind says it all.
    pub name: String,
}

impl ObjectRef {
    fn cluster_wide(kind: &str, name: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), namespace: None, name: name.into() }
    }

    /// An `EgressAddress`.
    pub fn address(address: IpAddr) -> Self {
        Self::cluster_wide("EgressAddress", address.to_string())
    }

    /// An `EgressNode`.
    pub fn egress_node(node: &NodeName) -> Self {
        Self::cluster_wide("EgressNode", node.as_str())
    }

    /// A Node of Kubernetes.
    pub fn node(node: &NodeName) -> Self {
        Self::cluster_wide("Node", node.as_str())
    }

    /// An `EgressPool`.
    pub fn pool(pool: &PoolName) -> Self {
        Self::cluster_wide("EgressPool", pool.as_str())
    }

    /// The `EgressCluster`: there is one.
    pub fn cluster() -> Self {
        Self::cluster_wide("EgressCluster", "")
    }

    /// A `StaticEgressIP` or `ClusterStaticEgressIP`.
    pub fn claim(claim: &ClaimRef) -> Self {
        let kind =
            if claim.namespace.is_some() { "StaticEgressIP" } else { "ClusterStaticEgressIP" };
        Self { namespace: claim.namespace.clone(), ..Self::cluster_wide(kind, &claim.name) }
    }

    /// A Pod.
    pub fn pod(namespace: &NamespaceName, name: &str) -> Self {
        Self { namespace: Some(namespace.clone()), ..Self::cluster_wide("Pod", name) }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        match &self.namespace {
            Some(namespace) => write!(f, " {namespace}/{}", self.name),
            None if self.name.is_empty() => Ok(()),
            None => write!(f, " {}", self.name),
        }
    }
}

impl FromStr for ObjectRef {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = text.split_once(' ').unwrap_or((text, ""));
        Ok(match name.split_once('/') {
            Some((namespace, name)) => {
                Self { namespace: Some(namespace.into()), ..Self::cluster_wide(kind, name) }
            }
            None => Self::cluster_wide(kind, name),
        })
    }
}

impl From<&str> for ObjectRef {
    fn from(text: &str) -> Self {
        let Ok(object) = text.parse();
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also of places that are files.
    #[test]
    fn what_is_read_is_shown_as_it_was() {
        let claim = |namespace: Option<&str>| ClaimRef {
            namespace: namespace.map(Into::into),
            name: "bank".to_owned(),
        };
        for (text, object) in [
            ("StaticEgressIP payments/bank", ObjectRef::claim(&claim(Some("payments")))),
            ("ClusterStaticEgressIP bank", ObjectRef::claim(&claim(None))),
            ("EgressAddress 2001:db8::1", ObjectRef::address("2001:db8::1".parse().unwrap())),
            ("EgressNode node-3", ObjectRef::egress_node(&"node-3".into())),
            ("EgressPool partners", ObjectRef::pool(&"partners".into())),
            ("Pod payments/bank-0", ObjectRef::pod(&"payments".into(), "bank-0")),
            ("EgressCluster", ObjectRef::cluster()),
        ] {
            assert_eq!((object.to_string().as_str(), ObjectRef::from(text)), (text, object));
        }
        for text in ["pools.yaml:3", "a b/c d/pools.yaml:3", "teams/pools.yaml", "EgressNode "] {
            assert_eq!(ObjectRef::from(text).to_string(), text.trim_end());
        }
    }
}
