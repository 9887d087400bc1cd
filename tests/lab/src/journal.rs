use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::clock::{WallTime, wait_until};

/// One line of a log that says that something happened.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalEntry {
    /// When it was written.
    pub at: WallTime,
    /// The node, or `controller`.
    pub from: String,
    /// The field `event`; empty where the line has none.
    pub event: String,
    /// `TRACE` … `ERROR`.
    pub level: String,
    /// Every other field.
    pub fields: BTreeMap<String, Value>,
}

impl JournalEntry {
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

/// The logs of a laboratory's processes: JSON lines. Every line is parsed once: whoever waits for one
/// asks a hundred times a second.
#[derive(Clone, Debug)]
pub struct LabJournal {
    dir: PathBuf,
    layout: Layout,
    logs: Arc<Mutex<BTreeMap<PathBuf, Log>>>,
}

/// What has been read of a log file.
#[derive(Debug, Default)]
struct Log {
    inode: u64,
    bytes: u64,
    entries: Vec<JournalEntry>,
    noise: Vec<String>,
}

/// Where in the directory they are.
#[derive(Clone, Copy, Debug)]
enum Layout {
    /// One file `NAME.log` per process.
    Flat,
    /// `NODE/log/NAMESPACE_POD_UID/CONTAINER/N.log`, as kubelets have them written.
    Containers,
}

impl LabJournal {
    /// Reads the logs of `dir`, one file `NAME.log` per process.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, layout: Layout::Flat, logs: Arc::default() }
    }

    /// Reads the logs of pods: `DIR/NODE/log` is what a kubelet calls its directory of pods' logs.
    /// What a container named `controller` says is from `controller`, else from its node.
    #[must_use]
    pub fn of_containers(dir: PathBuf) -> Self {
        Self { dir, layout: Layout::Containers, logs: Arc::default() }
    }

    /// Everything that was written at `since` or later, in order. Lines that are no JSON are left
    /// out (see [`LabJournal::noise`]).
    #[must_use]
    pub fn entries(&self, since: WallTime) -> Vec<JournalEntry> {
        self.select(|entry| entry.at >= since)
    }

    /// The entries with that `event`.
    #[must_use]
    pub fn events(&self, event: &str, since: WallTime) -> Vec<JournalEntry> {
        self.select(|entry| entry.at >= since && entry.event == event)
    }

    fn select(&self, accept: impl Fn(&JournalEntry) -> bool) -> Vec<JournalEntry> {
        let logs = self.read();
        let all = logs.values().flat_map(|log| &log.entries);
        let mut all: Vec<JournalEntry> = all.filter(|entry| accept(entry)).cloned().collect();
        all.sort_by_key(|entry| entry.at);
        all
    }

    /// Waits for an entry with that `event` that `accept` takes.
    ///
    /// # Errors
    /// Where none comes within `limit`.
    pub fn wait(
        &self,
        event: &str,
        since: WallTime,
        limit: Duration,
        accept: impl Fn(&JournalEntry) -> bool,
    ) -> Result<JournalEntry> {
        let what = format!("a log line with event={event}");
        wait_until(&what, limit, || self.events(event, since).into_iter().find(&accept))
            .with_context(|| format!("the logs are in {}", self.dir.display()))
    }

    /// Lines that are no JSON: panics and what a library printed.
    #[must_use]
    pub fn noise(&self) -> Vec<String> {
        self.read().values().flat_map(|log| log.noise.clone()).collect()
    }

    /// Every log, up to now.
    fn read(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Log>> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::take(&mut *logs);
        for (from, file) in self.files() {
            let mut log = old.remove(&file).unwrap_or_default();
            // What cannot be read (any more) says nothing.
            if log.follow(&file, &from, self.layout).is_err() {
                log = Log::default();
            }
            logs.insert(file, log);
        }
        logs
    }

    /// Every log file, and whose it is.
    fn files(&self) -> Vec<(String, PathBuf)> {
        let mut found = Vec::new();
        for file in list(&self.dir) {
            match self.layout {
                Layout::Flat => found.push((name(&file).trim_end_matches(".log").to_owned(), file)),
                Layout::Containers => {
                    let containers = list(&file.join("log")).into_iter().flat_map(|pod| list(&pod));
                    for container in containers {
                        let node = name(&file);
                        let from =
                            if name(&container) == "controller" { "controller" } else { &node };
                        found
                            .extend(list(&container).into_iter().map(|log| (from.to_owned(), log)));
                    }
                }
            }
        }
        found
    }
}

impl Log {
    /// Reads what was written since the last time, or all where the file is another by now.
    fn follow(&mut self, path: &Path, from: &str, layout: Layout) -> io::Result<()> {
        let mut file = File::open(path)?;
        let data = file.metadata()?;
        if data.ino() != self.inode || data.len() < self.bytes {
            *self = Self { inode: data.ino(), ..Self::default() };
        }
        if data.len() == self.bytes {
            return Ok(());
        }
        let mut new = Vec::new();
        file.seek(SeekFrom::Start(self.bytes))?;
        file.read_to_end(&mut new)?;
        // A last line without its end is still being written.
        let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in String::from_utf8_lossy(&new[..whole]).lines() {
            self.take(from, layout.content(line));
        }
        self.bytes += u64::try_from(whole).unwrap_or_default();
        Ok(())
    }

    fn take(&mut self, from: &str, line: &str) {
        match serde_json::from_str(line) {
            Ok(value) => self.entries.extend(parse(from, value)),
            Err(_) => self.noise.push(format!("{from}: {line}")),
        }
    }
}

impl Layout {
    /// A line without the runtime's own prefix: time, stream, and F for a full line.
    fn content(self, line: &str) -> &str {
        match self {
            Self::Flat => line,
            Self::Containers => line.splitn(4, ' ').nth(3).unwrap_or_default(),
        }
    }
}

/// What a directory holds, in order; nothing where it is none.
fn list(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Tolerant: fields may lie at the top or under `fields`, as tracing writes them by default.
fn parse(from: &str, line: Value) -> Option<JournalEntry> {
    let Value::Object(mut top) = line else { return None };
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
    Some(JournalEntry {
        at,
        from: from.to_owned(),
        event,
        level,
        fields: top.into_iter().collect(),
    })
}

/// `2026-11-24T08:00:00.123456Z` in nanoseconds since 1970 (days by Howard Hinnant's
/// `days_from_civil`).
fn rfc3339(text: &str) -> Option<WallTime> {
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
    Some(WallTime((minutes * 60 + second.parse::<u64>().ok()?) * 1_000_000_000 + nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_flat_and_nested() {
        let flat = r#"{"timestamp":"2026-11-24T08:00:00.25Z","level":"INFO","event":"held","address":"203.0.113.17","epoch":3}"#;
        let nested = r#"{"timestamp":"2026-11-24T08:00:00.25Z","level":"INFO","fields":{"event":"took_over","silent_ms":"513"}}"#;
        let parse = |from, line| super::parse(from, serde_json::from_str(line).unwrap());
        let flat = parse("gateway-1", flat).unwrap();
        assert_eq!((flat.event.as_str(), flat.at), ("held", WallTime(1_795_507_200_250_000_000)));
        assert_eq!(flat.address(), Some("203.0.113.17".parse().unwrap()));
        assert_eq!(flat.number("epoch"), Some(3.0));
        assert_eq!(parse("x", nested).unwrap().number("silent_ms"), Some(513.0));
        assert_eq!(parse("x", "\"thread panicked\""), None);
    }

    #[test]
    fn logs_of_containers_lose_their_prefix() {
        let dir = tempfile::tempdir().unwrap();
        for (container, event) in [("agent", "held"), ("controller", "leads")] {
            let folder = dir.path().join("gateway-1/log/egret-system_x_1").join(container);
            std::fs::create_dir_all(&folder).unwrap();
            let line = format!(
                "2026-11-24T08:00:00.3Z stderr F {{\"timestamp\":\"2026-11-24T08:00:00.25Z\",\
                 \"level\":\"INFO\",\"event\":\"{event}\"}}\n"
            );
            std::fs::write(folder.join("0.log"), line).unwrap();
        }
        let journal = LabJournal::of_containers(dir.path().to_owned());
        let from = |event: &str| journal.events(event, WallTime(0))[0].from.clone();
        assert_eq!(
            (from("held"), from("leads")),
            ("gateway-1".to_owned(), "controller".to_owned())
        );
        assert_eq!(journal.noise(), Vec::<String>::new());
    }

    #[test]
    fn what_is_written_later_is_read_once_and_another_file_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (file, journal) = (dir.path().join("x.log"), LabJournal::new(dir.path().to_owned()));
        let line = |event: &str| {
            format!("{{\"timestamp\":\"2026-11-24T08:00:00Z\",\"event\":\"{event}\"}}\n")
        };
        let said = || -> Vec<String> {
            journal.entries(WallTime(0)).into_iter().map(|entry| entry.event).collect()
        };
        std::fs::write(&file, line("one") + "panicked\n" + &line("two")[..20]).unwrap();
        assert_eq!(said(), ["one"]);
        std::fs::write(&file, line("one") + "panicked\n" + &line("two")).unwrap();
        assert_eq!(said(), ["one", "two"]);
        assert_eq!(journal.noise(), ["x: panicked"]);
        std::fs::write(&file, line("three")).unwrap();
        assert_eq!((said(), journal.noise().len()), (vec!["three".to_owned()], 0));
        std::fs::remove_file(&file).unwrap();
        assert!(said().is_empty());
    }

    #[test]
    fn the_calendar_is_right() {
        assert_eq!(rfc3339("1970-01-01T00:00:00.000000001Z"), Some(WallTime(1)));
        assert_eq!(rfc3339("2024-02-29T12:00:00.5Z"), Some(WallTime(1_709_208_000_500_000_000)));
        assert_eq!(rfc3339("soon"), None);
    }
}
