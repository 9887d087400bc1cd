//! Objects as the API server's JSON, to be sent back with a part of them changed.

use egret_core::model::ResourceVersion;
use serde::Serialize;
use serde_json::Value;

use crate::error::StoreError;

/// Sent back, they would be parsed for nothing; left out, the API server keeps its own.
pub fn drop_managed_fields(object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
}

/// `metadata.resourceVersion` of an object.
pub fn version(object: &Value) -> ResourceVersion {
    ResourceVersion(object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned())
}

/// A value as JSON.
pub fn to_json(value: &impl Serialize) -> Result<Value, StoreError> {
    serde_json::to_value(value).map_err(|error| StoreError::Invalid(error.to_string()))
}
