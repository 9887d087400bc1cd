//! Between the text of an object and the values of `egret-core`, in both directions.
//!
//! State: none. Towards the core every field is checked, and all faults of a person's object are
//! reported at once; a store says where they are: in which line of a manifest, or of which object.
//! What Egret alone writes is read by its type (`core::model`).

mod claim;
pub(crate) mod core_v1;
pub(crate) mod metadata;
pub mod nirmata;
mod pool;
mod selector;
mod text;

use std::fmt;

pub use claim::{
    claim_from_api, claim_status_from_api, claim_status_to_api, cluster_claim_from_api,
};
pub(crate) use core_v1::CIDR_ANNOTATION;
pub(crate) use metadata::{StoredMetadata, is_name};
pub use pool::{MAX_LEASE, MIN_LEASE, add_found, pool_from_api};
pub(crate) use text::object_name;
pub use text::{Cidr, parse_address, parse_cidr, parse_duration, parse_range};

/// What is wrong with one field of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field as a path, such as `spec.addresses[1]`.
    pub field: String,
    /// What is wrong, with the value, and what to write instead.
    pub message: String,
}

impl FieldError {
    /// A fault of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// All faults of an object, in one line.
pub(crate) fn sentence(errors: Vec<FieldError>) -> String {
    let errors: Vec<String> = errors.iter().map(FieldError::to_string).collect();
    errors.join("; ")
}

/// Collects the faults of an object, so that a person sees all of them at once.
#[derive(Debug, Default)]
pub(crate) struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// Notes that `field` is wrong.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError::new(field, message));
    }

    /// The value, or its fault noted under `field`.
    pub fn take<T>(&mut self, field: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(field, message)).ok()
    }

    /// All values of a list that are right; the faults of the others noted by index.
    pub fn list<T>(
        &mut self,
        field: &str,
        texts: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        texts
            .iter()
            .enumerate()
            .filter_map(|(index, text)| self.take(&format!("{field}[{index}]"), parse(text)))
            .collect()
    }

    /// The object where nothing is wrong with it.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Vec<FieldError>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.0),
        }
    }
}
