use std::collections::BTreeMap;

use serde::Deserialize;

use crate::convert::FieldError;

/// What kind of object a document holds.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TypeMeta {
    pub api_version: Option<String>,
    pub kind: Option<String>,
}

/// What Egret reads of `metadata`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    pub name: Option<String>,
    pub namespace: Option<String>,
    pub labels: Option<BTreeMap<String, String>>,
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Meta {
    /// True for a field of Kubernetes' `ObjectMeta`: any other is a typing mistake.
    pub fn is_known(field: &str) -> bool {
        [
            "name",
            "namespace",
            "labels",
            "annotations",
            "uid",
            "generateName",
            "generation",
            "resourceVersion",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "finalizers",
            "ownerReferences",
            "managedFields",
            "selfLink",
        ]
        .contains(&field)
    }

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
