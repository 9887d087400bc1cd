use std::collections::BTreeMap;

use egret_core::model::{
    Claim, ClaimStatus, Pool, PoolStatus, ResourceVersion, Stored, Timestamp, Uid,
};
use serde::Deserialize;

use super::{FieldError, add_found};

/// What a person writes of `metadata`, as far as it is used.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    pub name: Option<String>,
    pub namespace: Option<String>,
    pub labels: Option<BTreeMap<String, String>>,
    pub annotations: Option<BTreeMap<String, String>>,
    pub uid: Option<String>,
    pub creation_timestamp: Option<String>,
    /// Only whether it is there matters.
    pub deletion_timestamp: Option<String>,
}

impl ObjectMeta {
    /// The name, checked: it becomes a file's name.
    pub fn checked_name(&self) -> Result<&str, FieldError> {
        let Some(name) = self.name.as_deref() else {
            return Err(FieldError::new("metadata.name", "is missing: name the object"));
        };
        if is_name(name) {
            return Ok(name);
        }
        Err(FieldError::new(
            "metadata.name",
            format!(
                "{name:?} is not a name: use at most 253 lower-case letters, digits, - and ., \
                 with a letter or digit at both ends of every part"
            ),
        ))
    }

    /// The namespace of a namespaced object, `default` where none is written, as with kubectl.
    pub fn checked_namespace(&self) -> Result<&str, FieldError> {
        let namespace = self.namespace.as_deref().unwrap_or("default");
        if is_name(namespace) && namespace.len() <= 63 && !namespace.contains('.') {
            return Ok(namespace);
        }
        Err(FieldError::new(
            "metadata.namespace",
            format!(
                "{namespace:?} is not a namespace: use at most 63 lower-case letters, digits and -"
            ),
        ))
    }

    /// Nothing, where a cluster-wide object has no namespace.
    pub fn no_namespace(&self, kind: &str) -> Result<(), FieldError> {
        match &self.namespace {
            None => Ok(()),
            Some(_) => Err(FieldError::new(
                "metadata.namespace",
                format!("{kind} objects have no namespace: remove it"),
            )),
        }
    }
}

/// What a store writes of `metadata`: what tells an object from a later one of the same name, and
/// its state from a later one.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredMetadata {
    /// The version of spec and status together.
    pub version: ResourceVersion,
    /// Drawn when the object was made, or first seen.
    pub uid: Uid,
    /// Grows with every change of the spec.
    pub generation: i64,
    /// When the object was made, or first seen.
    pub created: Timestamp,
}

impl StoredMetadata {
    /// The object with this version.
    pub fn stored<T>(&self, value: T) -> Stored<T> {
        Stored { version: self.version.clone(), value }
    }

    /// A pool with the store's fields in it, and with the addresses that its status has as found.
    pub fn pool(&self, mut pool: Pool, status: PoolStatus) -> Stored<(Pool, PoolStatus)> {
        pool.uid = self.uid.clone();
        pool.generation = self.generation;
        pool.created = self.created;
        add_found(&mut pool, &status);
        self.stored((pool, status))
    }

    /// A claim with the store's fields in it.
    pub fn claim(&self, mut claim: Claim, status: ClaimStatus) -> Stored<(Claim, ClaimStatus)> {
        claim.uid = self.uid.clone();
        claim.generation = self.generation;
        claim.created = self.created;
        self.stored((claim, status))
    }
}

/// A DNS subdomain (RFC 1123), as Kubernetes wants its names.
pub fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 253
        && name.split('.').all(|part| {
            let bytes = part.as_bytes();
            bytes.first().is_some_and(|byte| letter(*byte))
                && bytes.last().is_some_and(|byte| letter(*byte))
                && bytes.iter().all(|byte| letter(*byte) || *byte == b'-')
        })
}
