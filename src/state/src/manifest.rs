//! Manifests as people write them: text in, checked objects and sentences about faults out.
//!
//! State: none. YAML is read by serde-saphyr: its errors carry lines and are values (never texts
//! to match), it has budgets against documents that expand without end, and it does not panic.
//! Around it two wrappers give the path of the field that an error is about and of every field
//! that no type has taken: in Egret's kinds that is an error too.

mod fault;
mod fields;
mod file;
mod locate;
mod object;
mod split;
pub(crate) mod yaml;

use std::path::{Path, PathBuf};

use egret_core::model::InvalidObject;

pub use fault::ManifestFault;
pub use file::{MAX_FILE_BYTES, is_manifest};
pub(crate) use file::{OWN_FOLDER, too_large};
pub use object::{ManifestObject, ObjectKey};

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct ParsedFile {
    /// The objects, in order, each with the line on which its document begins.
    pub objects: Vec<(usize, ManifestObject)>,
    /// What could not be understood, in order of lines.
    pub faults: Vec<ManifestFault>,
}

/// Parses the documents of one file. Kinds that Egret does not read (a Deployment, a ConfigMap)
/// are passed over; a broken document does not keep the others from being read.
pub fn parse(text: &str) -> ParsedFile {
    let mut parsed = ParsedFile::default();
    // A carriage return alone breaks a line too (YAML 1.2.2, section 5.4): lines are counted in
    // several places, and must be counted alike.
    let text = &text.replace("\r\n", "\n").replace('\r', "\n");
    for document in split::documents(text) {
        let (objects, faults) = object::parse(document.text);
        parsed.objects.extend(objects.into_iter().map(|object| (document.line, object)));
        parsed.faults.extend(faults.into_iter().map(|fault| ManifestFault {
            line: fault.line.max(1) + document.line - 1,
            message: fault.message,
        }));
    }
    parsed.faults.sort();
    parsed
}

/// Like [`parse`], from the bytes of a file.
pub fn parse_bytes(bytes: &[u8]) -> ParsedFile {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text),
        Err(error) => {
            let line =
                1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            let fault = ManifestFault::new(line, "the file is not UTF-8 text: save it as UTF-8");
            ParsedFile { objects: Vec::new(), faults: vec![fault] }
        }
    }
}

/// Checks a manifest, or all manifests below a directory, without storing anything. Empty where
/// all is well; a directory without any manifest is not.
pub fn check(path: &Path) -> Vec<InvalidObject> {
    let unreadable = |path: &Path, error: &dyn std::fmt::Display| InvalidObject {
        place: path.display().to_string(),
        message: format!("cannot be read: {error}"),
    };
    let mut broken = Vec::new();
    let (root, mut files) = (path, 0);
    let mut pending: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            match std::fs::read_dir(&path) {
                Ok(entries) => pending.extend(entries.flatten().filter_map(|entry| {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    let folder = !name.starts_with('.') && name != OWN_FOLDER;
                    let kind = entry.file_type().ok()?;
                    let wanted = if kind.is_dir() { folder } else { is_manifest(&name) };
                    wanted.then(|| entry.path())
                })),
                Err(error) => broken.push(unreadable(&path, &error)),
            }
            continue;
        }
        files += 1;
        match std::fs::metadata(&path).and_then(|data| {
            if data.len() > MAX_FILE_BYTES { Ok(None) } else { std::fs::read(&path).map(Some) }
        }) {
            Ok(Some(bytes)) => {
                let name = path.display().to_string();
                broken.extend(
                    parse_bytes(&bytes).faults.iter().map(|fault| fault.invalid_object(&name)),
                );
            }
            Ok(None) => broken.push(unreadable(&path, &too_large())),
            Err(error) => broken.push(unreadable(&path, &error)),
        }
    }
    if files == 0 && broken.is_empty() {
        let message = "holds no manifest: name a folder with files *.yaml, *.yml or *.json";
        broken
            .push(InvalidObject { place: root.display().to_string(), message: message.to_owned() });
    }
    broken.sort();
    broken
}

/// Checks what was read from elsewhere and is called `name`, without storing anything. Empty where all
/// is well.
pub fn check_bytes(name: &str, bytes: &[u8]) -> Vec<InvalidObject> {
    let parsed = parse_bytes(bytes);
    let mut broken: Vec<InvalidObject> =
        parsed.faults.iter().map(|fault| fault.invalid_object(name)).collect();
    if broken.is_empty() && parsed.objects.is_empty() {
        let message = "holds no object that Egret reads: is the right file piped in?";
        broken.push(InvalidObject { place: name.to_owned(), message: message.to_owned() });
    }
    broken
}
