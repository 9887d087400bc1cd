use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as the API server or the manifest spells it.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as a string slice.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }
    };
}

name!(
    /// The name of a Node, which is also the name of its `EgressNode`.
    NodeName
);
name!(
    /// The name of an `EgressPool`.
    PoolName
);
name!(
    /// The name of a Namespace.
    NamespaceName
);
name!(
    /// What tells an object from an earlier one of the same name (`metadata.uid`).
    Uid
);

/// Names one claim: a `StaticEgressIP` (with a namespace) or a `ClusterStaticEgressIP` (without).
///
/// Displayed as `payments/bank`, or `bank` for the cluster-wide kind. Ordered by that text's parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ClaimRef {
    /// The claim's namespace; absent for a ClusterStaticEgressIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub namespace: Option<NamespaceName>,
    /// The claim's name.
    pub name: String,
}

impl fmt::Display for ClaimRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => f.pad(&format!("{namespace}/{}", self.name)),
            None => f.pad(&self.name),
        }
    }
}
