//! Events for people, as lines of JSON in a file of bounded size.

use std::collections::BTreeMap;

use egret_core::model::{Text as _, Timestamp};
use egret_ports::cluster_state::Event;
use serde::{Deserialize, Serialize};

use super::store::Access;
use crate::error::StoreError;
use crate::recorded_event::RecordedEvent;

const FILE: &str = "egret.dev/events.jsonl";
/// Past this size the older half goes.
const MAX_BYTES: u64 = 512 << 10;
/// A message is cut to this many bytes: an event is a sentence.
const MAX_MESSAGE: usize = 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    at: String,
    about: String,
    r#type: String,
    reason: String,
    message: String,
    source: String,
}

/// Appends an event.
pub fn append(access: &Access, event: &Event) -> Result<(), StoreError> {
    let mut message = event.message.clone();
    if message.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    let line = Line {
        at: event.at.to_text(),
        about: event.about.to_string(),
        r#type: if event.warning { "Warning" } else { "Normal" }.to_owned(),
        reason: event.reason.clone(),
        message,
        source: event.source.clone(),
    };
    let mut text = serde_json::to_string(&line)
        .map_err(|error| StoreError::Invalid(format!("{FILE}: {error}")))?;
    text.push('\n');
    let size = access.append(FILE, text.as_bytes()).map_err(StoreError::io(FILE))?;
    if size > MAX_BYTES { halve(access) } else { Ok(()) }
}

fn halve(access: &Access) -> Result<(), StoreError> {
    let bytes = access.read(FILE).map_err(StoreError::io(FILE))?;
    let middle = bytes.len() / 2;
    let start = bytes[middle..].iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    access.replace_for_now(FILE, &bytes[middle + start..]).map_err(StoreError::io(FILE))
}

/// The events, oldest first by their last occurrence; equal ones are counted together. Lines that
/// cannot be read (a crash in the middle of one) are passed over.
pub fn read(access: &Access) -> Result<Vec<RecordedEvent>, StoreError> {
    let bytes = access.read_if_there(FILE).map_err(StoreError::io(FILE))?.unwrap_or_default();
    let mut events: BTreeMap<(String, String, String, String), RecordedEvent> = BTreeMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { continue };
        let Ok(at) = Timestamp::from_text(&line.at) else { continue };
        let key = (line.about, line.reason, line.message, line.source);
        let event = Event {
            about: key.0.as_str().into(),
            warning: line.r#type == "Warning",
            reason: key.1.clone(),
            message: key.2.clone(),
            source: key.3.clone(),
            at,
        };
        let entry = events.entry(key).or_insert_with(|| RecordedEvent {
            event: event.clone(),
            count: 0,
            first: at,
        });
        entry.count += 1;
        entry.first = entry.first.min(at);
        entry.event.at = entry.event.at.max(at);
    }
    let mut events: Vec<RecordedEvent> = events.into_values().collect();
    events.sort_by_key(|recorded| (recorded.event.at, recorded.first));
    Ok(events)
}
