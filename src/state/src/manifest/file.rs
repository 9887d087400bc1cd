use std::path::Path;

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 4 << 20;

/// Where Egret writes, below the store's directory. Manifests of people are not looked for there.
pub const OWN_FOLDER: &str = "egret.dev";

/// True where a file of this name is read as manifests: `*.yaml`, `*.yml` and `*.json` that are
/// not hidden.
pub fn is_manifest(name: &str) -> bool {
    !name.starts_with('.')
        && Path::new(name).extension().is_some_and(|extension| {
            ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
        })
}

/// What is said of a larger file than [`MAX_FILE_BYTES`].
pub fn too_large() -> String {
    format!("the file is larger than {} MiB: split it", MAX_FILE_BYTES >> 20)
}
