use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::double::Api;
use crate::clock::Stamp;

/// One call of EC2's API.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Such as `AssociateAddress`.
    pub action: String,
    /// `OK`, or the error's code.
    pub result: String,
    /// When EC2 began to work on it.
    pub begun: Stamp,
    /// When it had an answer.
    pub answered: Stamp,
    /// As they were sent.
    pub parameters: Value,
}

impl Call {
    /// Whether it is one that changes something.
    #[must_use]
    pub fn changes(&self) -> bool {
        !self.action.starts_with("Describe")
    }
}

/// Every call since `since`, in the order in which EC2 worked on them.
pub(super) fn since(api: &Api, since: Stamp) -> Result<Vec<Call>> {
    let asked = Stamp::now();
    let told = api.ask("GET", "/egret/calls", &json!({}))?;
    let read = Stamp::now();
    // The double counts from its own beginning: "now" there lies between these two moments.
    let middle = asked + read.since(asked) / 2;
    let began = middle - seconds(&told["now"])?;
    let mut calls = Vec::new();
    for call in told["calls"].as_array().context("no list of calls")? {
        let begun = began + seconds(&call["time"])?;
        let text = |field: &str| call[field].as_str().unwrap_or_default().to_owned();
        calls.push(Call {
            action: text("action"),
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
