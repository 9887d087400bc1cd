use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::clock::{Stamp, wait_until};

/// One line of a log that says that something happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it was written.
    pub at: Stamp,
    /// The node, or `controller`.
    pub from: String,
    /// The field `event`; empty where the line has none.
    pub event: String,
    /// `TRACE` … `ERROR`.
    pub level: String,
    /// Every other field.
    pub fields: BTreeMap<String, Value>,
}

impl Entry {
    /// A field as text, whatever its type.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<String> {
        match self.fields.get(field)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// A field as a number, also where it is written as text.
    #[must_use]
    pub fn number(&self, field: &str) -> Option<f64> {
        self.text(field)?.parse().ok()
    }

    /// The field `address`.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.text("address")?.parse().ok()
    }
}

/// The logs of a laboratory's processes: one file each, JSON lines.
#[derive(Clone, Debug)]
pub struct Journal {
    dir: PathBuf,
}

impl Journal {
    /// Reads the logs of `dir`, one file `NAME.log` per process.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Everything that was written at `since` or later, in order. Lines that are no JSON are left
    /// out (see [`Journal::noise`]).
    #[must_use]
    pub fn entries(&self, since: Stamp) -> Vec<Entry> {
        let mut all: Vec<Entry> = self
            .lines()
            .filter_map(|(from, line)| parse(&from, &line))
            .filter(|entry| entry.at >= since)
            .collect();
        all.sort_by_key(|entry| entry.at);
        all
    }

    /// The entries with that `event`.
    #[must_use]
    pub fn events(&self, event: &str, since: Stamp) -> Vec<Entry> {
        self.entries(since).into_iter().filter(|entry| entry.event == event).collect()
    }

    /// Waits for an entry with that `event` that `accept` takes.
    ///
    /// # Errors
    /// Where none comes within `limit`.
    pub fn wait(
        &self,
        event: &str,
        since: Stamp,
        limit: Duration,
        accept: impl Fn(&Entry) -> bool,
    ) -> Result<Entry> {
        let what = format!("a log line with event={event}");
        wait_until(&what, limit, || self.events(event, since).into_iter().find(&accept))
            .with_context(|| format!("the logs are in {}", self.dir.display()))
    }

    /// Lines that are no JSON: panics and what a library printed.
    #[must_use]
    pub fn noise(&self) -> Vec<String> {
        let bad = self.lines().filter(|(_, line)| serde_json::from_str::<Value>(line).is_err());
        bad.map(|(from, line)| format!("{from}: {line}")).collect()
    }

    fn lines(&self) -> impl Iterator<Item = (String, String)> {
        let files = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        files.flat_map(|file| {
            let name = file.file_name().to_string_lossy().trim_end_matches(".log").to_owned();
            let text = std::fs::read(file.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            // A last line without its end is still being written.
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            let lines: Vec<_> =
                text[..whole].lines().map(|l| (name.clone(), l.to_owned())).collect();
            lines
        })
    }
}

/// Tolerant: fields may lie at the top or under `fields`, as tracing writes them by default.
fn parse(from: &str, line: &str) -> Option<Entry> {
    let Value::Object(mut top) = serde_json::from_str(line).ok()? else { return None };
    let at = top.remove("timestamp").or_else(|| top.remove("ts"))?;
    let at = rfc3339(at.as_str()?)?;
    if let Some(Value::Object(inner)) = top.remove("fields") {
        top.extend(inner);
    }
    let mut take = |key: &str| match top.remove(key) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let (event, level) = (take("event"), take("level"));
    Some(Entry { at, from: from.to_owned(), event, level, fields: top.into_iter().collect() })
}

/// `2026-11-24T08:00:00.123456Z` in nanoseconds since 1970 (days by Howard Hinnant's
/// `days_from_civil`).
fn rfc3339(text: &str) -> Option<Stamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.split(':');
    let (hour, minute) = (time.next()?.parse::<u64>().ok()?, time.next()?.parse::<u64>().ok()?);
    let seconds = time.next()?;
    let (second, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let nanos: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let of_era = year.rem_euclid(400);
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    let minutes = u64::try_from(days).ok()? * 1440 + hour * 60 + minute;
    Some(Stamp((minutes * 60 + second.parse::<u64>().ok()?) * 1_000_000_000 + nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_flat_and_nested() {
        let flat = r#"{"timestamp":"2026-11-24T08:00:00.25Z","level":"INFO","event":"held","address":"203.0.113.17","epoch":3}"#;
        let nested = r#"{"timestamp":"2026-11-24T08:00:00.25Z","level":"INFO","fields":{"event":"took_over","silent_ms":"513"}}"#;
        let flat = parse("gateway-1", flat).unwrap();
        assert_eq!((flat.event.as_str(), flat.at), ("held", Stamp(1_795_507_200_250_000_000)));
        assert_eq!(flat.address(), Some("203.0.113.17".parse().unwrap()));
        assert_eq!(flat.number("epoch"), Some(3.0));
        assert_eq!(parse("x", nested).unwrap().number("silent_ms"), Some(513.0));
        assert_eq!(parse("x", "thread panicked"), None);
    }

    #[test]
    fn the_calendar_is_right() {
        assert_eq!(rfc3339("1970-01-01T00:00:00.000000001Z"), Some(Stamp(1)));
        assert_eq!(rfc3339("2024-02-29T12:00:00.5Z"), Some(Stamp(1_709_208_000_500_000_000)));
        assert_eq!(rfc3339("soon"), None);
    }
}
