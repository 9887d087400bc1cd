//! Reading what the double says, with an error that names the field.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

pub(super) fn list<'a>(value: &'a Value, field: &str) -> Result<&'a Vec<Value>> {
    value[field].as_array().with_context(|| format!("no list {field}"))
}

pub(super) fn text(value: &Value, field: &str) -> Result<String> {
    value[field].as_str().map(str::to_owned).with_context(|| format!("no text {field}: {value}"))
}

pub(super) fn texts(value: &Value) -> BTreeSet<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
}
