use std::borrow::Cow;
use std::cell::RefCell;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::localizer::Localizer;
use serde_saphyr::{
    DefaultMessageFormatter, DuplicateKeyPolicy, Error, Location, MessageFormatter, Options,
};

use super::fault::ManifestFault;
use super::locate::line_of;

/// A value, with the paths of the fields that no type has taken.
pub struct Read<T> {
    /// The value.
    pub value: T,
    /// Paths such as `spec.gateways.nodeSelectr`.
    pub unknown: Vec<String>,
}

/// Reads one document.
///
/// # Errors
/// What is wrong, with the line inside the document and the field's path.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<Read<T>, ManifestFault> {
    read_as(text, false)
}

/// The document as an API server gets it.
///
/// # Errors
/// As of [`read`].
pub fn json(text: &str) -> Result<Value, ManifestFault> {
    read_as(text, false).map(|read| read.value)
}

/// Like [`read`]; a number where a text belongs is refused, and a text where a number belongs, as an
/// API server does. `json` is the document as that gets it.
///
/// # Errors
/// As of [`read`].
pub fn read_strictly<T: DeserializeOwned>(
    text: &str,
    mut json: Value,
) -> Result<Read<T>, ManifestFault> {
    let read = read_as::<T>(text, true)?;
    // YAML's reader takes "2" for a number where one is wanted. In JSON a text is a text.
    remove_nulls(&mut json);
    match serde_path_to_error::deserialize::<_, T>(&json) {
        Ok(_) => Ok(read),
        Err(error) => Err(wrong_type(text, &json, &error)),
    }
}

/// A field that is null is one that is not there, as an API server sees it.
fn remove_nulls(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(remove_nulls);
        }
        Value::Array(entries) => entries.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// A text stands where another type belongs.
fn wrong_type(
    text: &str,
    json: &Value,
    error: &serde_path_to_error::Error<serde_json::Error>,
) -> ManifestFault {
    let path = error.path().to_string();
    let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
    let what = match json.pointer(&pointer) {
        Some(Value::String(written)) => {
            let flag = error.inner().to_string().contains("a boolean");
            let wanted = if flag { "true or false" } else { "a number" };
            format!("'{written}' is a text, where {wanted} belongs: write it without quotes")
        }
        _ => error.inner().to_string(),
    };
    ManifestFault::new(line_of(text, &path, None), format!("{path}: {what}"))
}

fn read_as<T: DeserializeOwned>(text: &str, strict: bool) -> Result<Read<T>, ManifestFault> {
    let options: Options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        with_snippet: false,
        no_schema: strict,
    };
    let unknown = RefCell::new(Vec::new());
    let place = RefCell::new(String::new());
    let result = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
        let mut note = |path: serde_ignored::Path<'_>| unknown.borrow_mut().push(path.to_string());
        let yaml = serde_ignored::Deserializer::new(yaml, &mut note);
        serde_path_to_error::deserialize(yaml).map_err(|error| {
            if error.path().iter().next().is_some() {
                *place.borrow_mut() = error.path().to_string();
            }
            error.into_inner()
        })
    });
    match result {
        Ok(value) => {
            let unknown = unknown.into_inner();
            let unknown = unknown.iter().map(|path| readable(path)).collect();
            Ok(Read { value, unknown })
        }
        Err(error) => Err(fault(text, &error, &place.into_inner())),
    }
}

fn fault(text: &str, error: &Error, place: &str) -> ManifestFault {
    let place = readable(if place == "." { "" } else { place });
    let located = error.location().and_then(|location| usize::try_from(location.line()).ok());
    let line = located.filter(|line| *line > 0).unwrap_or_else(|| line_of(text, &place, None));
    let what = match error.without_snippet() {
        Error::SerdeMissingField { field, .. } => {
            let dot = if place.is_empty() { "" } else { "." };
            return ManifestFault::new(line, format!("{place}{dot}{field}: is missing: write it"));
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("{variant} is none of {}: write one of them", expected.join(", "))
        }
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            format!("found {unexpected}, where {expected} belongs")
        }
        Error::InvalidScalar { ty, .. } if ty.starts_with(['u', 'i']) => {
            "the value is no whole number in range: write one".to_owned()
        }
        Error::InvalidScalar { ty, .. } => format!("the value is no {ty}: write one"),
        Error::QuotingRequired { value, .. } => {
            format!("{value} is a number or a keyword, where a text belongs: write it in quotes")
        }
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key {key} stands twice in one mapping: remove one of them")
        }
        // Only the wording hangs on these two texts; others are shown as they are.
        Error::Unexpected { expected: "mapping start", .. } => {
            "a mapping belongs here: write it as key: value".to_owned()
        }
        Error::Unexpected { expected: "sequence start", .. } => {
            "a list belongs here: write it as [value] or as lines of - value".to_owned()
        }
        other => one_line(&other.render_with_formatter(&WithoutPlace)),
    };
    let separator = if place.is_empty() { "" } else { ": " };
    ManifestFault::new(line, format!("{place}{separator}{what}"))
}

/// `a.0.b` and `a.?.b`, as the wrappers write list entries and options, as people write them.
fn readable(path: &str) -> String {
    path.split('.').filter(|part| *part != "?").fold(String::new(), |mut path, part| {
        if part.parse::<usize>().is_ok() {
            path.push('[');
            path.push_str(part);
            path.push(']');
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(part);
        }
        path
    })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Messages without "at line …": that line is the document's, ours is the file's.
struct WithoutPlace;

impl Localizer for WithoutPlace {
    fn attach_location<'a>(&self, base: Cow<'a, str>, _location: Location) -> Cow<'a, str> {
        base
    }
}

impl MessageFormatter for WithoutPlace {
    fn localizer(&self) -> &dyn Localizer {
        self
    }

    fn format_message<'a>(&self, error: &'a Error) -> Cow<'a, str> {
        DefaultMessageFormatter.format_message(error)
    }
}
