use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::double::DoubleApi;
use crate::clock::WallTime;

/// One call of a cloud's API.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedCall {
    /// Such as `AssociateAddress` or `compute.backendServices.patch`.
    pub action: String,
    /// `OK`, or the error's code.
    pub result: String,
    /// When the cloud began to work on it.
    pub begun: WallTime,
    /// When it had an answer.
    pub answered: WallTime,
    /// As they were sent.
    pub parameters: Value,
}

impl RecordedCall {
    /// Whether it is one that changes something.
    #[must_use]
    pub fn changes(&self) -> bool {
        const READS: [&str; 5] = ["Describe", "get", "list", "aggregatedList", "wait"];
        let verb = self.action.rsplit('.').next().unwrap_or_default();
        !READS.iter().any(|read| verb.starts_with(read))
    }
}

/// Every call since `since`, in the order in which the cloud worked on them.
pub(super) fn since(api: &DoubleApi, since: WallTime) -> Result<Vec<RecordedCall>> {
    let asked = WallTime::now();
    let answer = api.ask("GET", "/egret/calls", &json!({}))?;
    let read = WallTime::now();
    // The double counts from its own beginning: "now" there lies between these two moments.
    let middle = asked + read.since(asked) / 2;
    let began = middle - seconds(&answer["now"])?;
    let mut calls = Vec::new();
    for call in answer["calls"].as_array().context("no list of calls")? {
        let begun = began + seconds(&call["time"])?;
        let text = |field: &str| call[field].as_str().unwrap_or_default().to_owned();
        calls.push(RecordedCall {
            action: format!("{}{}", text("action"), text("method")),
            result: text("result"),
            begun,
            answered: begun + seconds(&call["milliseconds"])? / 1000,
            parameters: call["parameters"].clone(),
        });
    }
    calls.retain(|call| call.begun >= since);
    Ok(calls)
}

fn seconds(value: &Value) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(value.as_f64().context("a time")?)?)
}
