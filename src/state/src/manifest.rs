//! Manifests as people write them: text in, checked objects and sentences about faults out.
//!
//! State: none. YAML is read by serde-saphyr: its errors carry lines and are values (never texts
//! to match), it has budgets against documents that expand without end, and it does not panic.
//! Around it two wrappers give the path of the field that an error is about and of every field
//! that no type has taken: in Egret's kinds that is an error too.

pub(crate) mod core_v1;
mod fields;
mod locate;
mod meta;
mod object;
mod split;
mod yaml;

use std::path::{Path, PathBuf};

use egret_core::model::Broken;

pub(crate) use core_v1::labelled_namespace;
pub(crate) use meta::is_name;
pub use object::{Object, ObjectKey};

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 4 << 20;

/// The annotation of a Pod that stands for ranges of workloads on its node.
pub const CIDR_ANNOTATION: &str = "egret.dev/cidr";

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The objects, in order, each with the line on which its document begins.
    pub objects: Vec<(usize, Object)>,
    /// What could not be understood, in order of lines.
    pub faults: Vec<Fault>,
}

/// What is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to do, in one line.
    pub message: String,
}

impl Fault {
    pub(crate) fn new(line: usize, message: impl Into<String>) -> Self {
        // A field's name may have line breaks of its own.
        let escaped = message.into().chars().fold(String::new(), |mut message, next| {
            match next.is_control() {
                true => message.extend(next.escape_default()),
                false => message.push(next),
            }
            message
        });
        Self { line, message: escaped }
    }

    /// The fault as it is reported for the file `name`.
    pub fn broken(&self, name: &str) -> Broken {
        Broken { place: format!("{name}:{}", self.line), message: self.message.clone() }
    }
}

/// Parses the documents of one file. Kinds that Egret does not read (a Deployment, a ConfigMap)
/// are passed over; a broken document does not keep the others from being read.
pub fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    // A carriage return alone breaks a line too (YAML 1.2.2, section 5.4): lines are counted in
    // several places, and must be counted alike.
    let text = &text.replace("\r\n", "\n").replace('\r', "\n");
    for document in split::documents(text) {
        match object::parse(document.text) {
            Ok(objects) => {
                parsed.objects.extend(objects.into_iter().map(|object| (document.line, object)));
            }
            Err(faults) => parsed.faults.extend(faults.into_iter().map(|fault| Fault {
                line: fault.line.max(1) + document.line - 1,
                message: fault.message,
            })),
        }
    }
    parsed.faults.sort();
    parsed
}

/// Like [`parse`], from the bytes of a file.
pub fn parse_bytes(bytes: &[u8]) -> Parsed {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text),
        Err(error) => {
            let line =
                1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            let fault = Fault::new(line, "the file is not UTF-8 text: save it as UTF-8");
            Parsed { objects: Vec::new(), faults: vec![fault] }
        }
    }
}

/// True where a file of this name is read as manifests: `*.yaml`, `*.yml` and `*.json` that are
/// not hidden.
pub fn is_manifest(name: &str) -> bool {
    !name.starts_with('.')
        && Path::new(name).extension().is_some_and(|extension| {
            ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
        })
}

/// Checks a manifest, or all manifests below a directory, without storing anything. Empty where
/// all is well.
pub fn check(path: &Path) -> Vec<Broken> {
    let unreadable = |path: &Path, error: &dyn std::fmt::Display| Broken {
        place: path.display().to_string(),
        message: format!("cannot be read: {error}"),
    };
    let mut broken = Vec::new();
    let mut pending: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            match std::fs::read_dir(&path) {
                Ok(entries) => pending.extend(entries.flatten().filter_map(|entry| {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    let folder = !name.starts_with('.') && name != crate::directory::OWN_FOLDER;
                    let kind = entry.file_type().ok()?;
                    let wanted = if kind.is_dir() { folder } else { is_manifest(&name) };
                    wanted.then(|| entry.path())
                })),
                Err(error) => broken.push(unreadable(&path, &error)),
            }
            continue;
        }
        match std::fs::metadata(&path).and_then(|data| {
            if data.len() > MAX_FILE_BYTES { Ok(None) } else { std::fs::read(&path).map(Some) }
        }) {
            Ok(Some(bytes)) => {
                let name = path.display().to_string();
                broken.extend(parse_bytes(&bytes).faults.iter().map(|fault| fault.broken(&name)));
            }
            Ok(None) => broken.push(unreadable(&path, &too_large())),
            Err(error) => broken.push(unreadable(&path, &error)),
        }
    }
    broken.sort();
    broken
}

pub(crate) fn too_large() -> String {
    format!("the file is larger than {} MiB: split it", MAX_FILE_BYTES >> 20)
}
