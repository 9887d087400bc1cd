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
pub(crate) use text::{lenient_address, lenient_cidr, without_leading_zeros};

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

/// An object of a person, checked.
///
/// What a person writes today is held to today's rules ([`Checked::fresh`]). What a store has taken
/// already stays in force as far as it can be read ([`Checked::stored`]): no address in use ends
/// because an upgrade has become stricter, and no Node is unknown for one odd address.
#[derive(Debug)]
#[must_use]
pub struct Checked<T> {
    value: Option<T>,
    errors: Vec<FieldError>,
    tolerated: Vec<FieldError>,
}

impl<T> Checked<T> {
    /// A value without a fault.
    pub fn new(value: T) -> Self {
        Self { value: Some(value), errors: Vec::new(), tolerated: Vec::new() }
    }

    /// No value, for these reasons.
    pub fn refused(errors: Vec<FieldError>) -> Self {
        Self { value: None, errors, tolerated: Vec::new() }
    }

    /// The value as new text.
    ///
    /// # Errors
    /// Every fault.
    pub fn fresh(self) -> Result<T, Vec<FieldError>> {
        let (value, tolerated) = self.stored()?;
        if tolerated.is_empty() { Ok(value) } else { Err(tolerated) }
    }

    /// The value as a store holds it, with the faults of what is read all the same.
    ///
    /// # Errors
    /// Every fault, where there is one that leaves no meaning.
    pub fn stored(self) -> Result<(T, Vec<FieldError>), Vec<FieldError>> {
        match self.value {
            Some(value) if self.errors.is_empty() => Ok((value, self.tolerated)),
            _ => Err([self.errors, self.tolerated].concat()),
        }
    }

    /// The value, changed.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Checked<U> {
        Checked { value: self.value.map(change), errors: self.errors, tolerated: self.tolerated }
    }

    /// What is made of the value, with the faults of both.
    pub fn and_then<U>(self, next: impl FnOnce(T) -> Checked<U>) -> Checked<U> {
        let value = self.value.filter(|_| self.errors.is_empty());
        let next = value.map_or_else(|| Checked::refused(Vec::new()), next);
        Checked {
            value: next.value,
            errors: [self.errors, next.errors].concat(),
            tolerated: [self.tolerated, next.tolerated].concat(),
        }
    }
}

impl<T> FromIterator<Checked<T>> for Checked<Vec<T>> {
    fn from_iter<I: IntoIterator<Item = Checked<T>>>(each: I) -> Self {
        each.into_iter().fold(Self::new(Vec::new()), |all, one| {
            all.and_then(|mut all| {
                one.map(|one| {
                    all.push(one);
                    all
                })
            })
        })
    }
}

/// Collects the faults of an object, so that a person sees all of them at once.
#[derive(Debug, Default)]
pub(crate) struct FieldErrors {
    errors: Vec<FieldError>,
    tolerated: Vec<FieldError>,
}

impl FieldErrors {
    /// Notes that `field` is wrong.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.errors.push(FieldError::new(field, message));
    }

    /// Notes a fault of `field` with which the object can be read all the same.
    pub fn tolerated(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.tolerated.push(FieldError::new(field, message));
    }

    /// The value, or its fault noted under `field`.
    pub fn take<T>(&mut self, field: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(field, message)).ok()
    }

    /// The name of an object, or what is wrong with it.
    pub fn name(&mut self, checked: Result<&str, FieldError>) -> Option<String> {
        checked.map(str::to_owned).map_err(|error| self.errors.push(error)).ok()
    }

    /// The value of a part that the rest of the object can do without; a fault of it is noted.
    pub fn pass_over<T>(&mut self, field: String, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.tolerated(field, message)).ok()
    }

    /// The value of a text, or its fault noted under `field`; what older versions took, a CIDR with
    /// leading zeros or other white space around the dash of a range, has both.
    pub fn parse<T>(
        &mut self,
        field: &str,
        text: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let message = match parse(text) {
            Ok(value) => return Some(value),
            Err(message) => message,
        };
        let older = match text.split_once('-') {
            Some((first, last)) => Some(format!("{}-{}", first.trim(), last.trim())),
            None => text.contains('/').then(|| without_leading_zeros(text)),
        };
        let value = older.and_then(|text| parse(&text).ok());
        match value {
            Some(_) => self.tolerated(field, message),
            None => self.add(field, message),
        }
        value
    }

    /// The object where nothing is wrong with it.
    pub fn finish<T>(self, value: Option<T>) -> Checked<T> {
        Checked { value, errors: self.errors, tolerated: self.tolerated }
    }
}
