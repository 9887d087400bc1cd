//! Rules of the text that people write: sizes, unsafe, words that do not belong.

use crate::repository::TextFile;
use crate::rust::is_test;

/// The most lines of a source file: what is longer holds two things.
pub const LINES: usize = 400;

/// Crates whose roots need not forbid `unsafe`: raw sockets and BPF maps. There clippy's workspace
/// lints deny it, and every exception carries its reason.
const UNSAFE: [&str; 2] = ["egret-datapath", "egret-agent"];

/// What runs on a node, and the one file there that runs programs.
const NODE: [&str; 6] = [
    "src/agent/src/",
    "src/cni/src/",
    "src/datapath/src/",
    "src/guard/src/",
    "src/peers/src/",
    "src/runtime/src/",
];
const CHILDREN: &str = "src/datapath/src/child.rs";

/// Source files that are longer than [`LINES`].
#[must_use]
pub fn too_long(files: &[TextFile]) -> Vec<String> {
    let long = files.iter().filter(|file| is_source(&file.path)).filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > LINES).then(|| format!("{}: {lines} lines, allowed are {LINES}", file.path))
    });
    long.collect()
}

/// Modules in `mod.rs`: write `name.rs` beside the folder `name`.
#[must_use]
pub fn mod_files(files: &[TextFile]) -> Vec<String> {
    let named = files.iter().filter(|file| file.path.ends_with("/mod.rs"));
    named.map(|file| format!("{}: name it after its folder, beside it", file.path)).collect()
}

/// A crate's root that does not forbid `unsafe`.
#[must_use]
pub fn allows_unsafe(package: &str, root: &str, text: &str) -> Option<String> {
    let forbids = text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]");
    (!forbids && !UNSAFE.contains(&package))
        .then(|| format!("{root}: write #![forbid(unsafe_code)] below the module's description"))
}

/// A crate without content: `code` is all of its source. Crates appear when they have some.
#[must_use]
pub fn is_shell(code: &str) -> bool {
    let says = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("//") && !line.starts_with("#![")
    };
    code.lines().filter(says).count() < 10
}

/// Where a node's process runs another program past the one place that gives each a time limit: whoever waits for
/// one without waits for ever where it hangs.
#[must_use]
pub fn unlimited_children(files: &[TextFile]) -> Vec<String> {
    let is_nodes = |path: &str| NODE.iter().any(|folder| path.starts_with(folder));
    let mut found = Vec::new();
    for file in files.iter().filter(|file| is_nodes(&file.path) && !is_test(&file.path)) {
        let code = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        let runs = code.lines().any(|line| line.contains("process::") && line.contains("Command"));
        if runs && file.path != CHILDREN {
            found.push(format!("{}: run programs by {CHILDREN}, which limits them", file.path));
        }
    }
    found
}

/// Words that belong into no file: paths of the machine that something was written on, hosts of
/// package registries, marks of unfinished work.
#[must_use]
pub fn words(files: &[TextFile]) -> Vec<String> {
    // In two pieces each, so that this file has none of them.
    let paths = [("/wor", "k/"), ("/tmp/tar", "get"), ("/ro", "ot/.cargo"), ("/ho", "me/")];
    let hosts = [("crates.", "io"), ("npmjs.", "org"), ("pypi.", "org"), ("deb.debian.", "org")];
    let marks = [("TO", "DO"), ("FIX", "ME"), ("todo", "!("), ("unimplemen", "ted!(")];
    let mut found = Vec::new();
    for file in files {
        let mut needles: Vec<_> = paths.to_vec();
        // Cargo writes its registry's address into the lock file.
        if file.path != "Cargo.lock" {
            needles.extend(hosts);
        }
        if is_source(&file.path) {
            needles.extend(marks);
        }
        for (first, second) in needles {
            let needle = format!("{first}{second}");
            for (number, line) in file.text.lines().enumerate() {
                if line.contains(&needle) {
                    found.push(format!("{}:{}: has `{needle}`", file.path, number + 1));
                }
            }
        }
    }
    found
}

fn is_source(path: &str) -> bool {
    [".rs", ".c", ".h", ".sh"].iter().any(|ending| path.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: impl Into<String>) -> TextFile {
        TextFile { path: path.into(), text: text.into() }
    }

    #[test]
    fn long_files_are_found_where_they_are_source() {
        let text = "x\n".repeat(LINES + 1);
        let ends = ["rs", "c", "h", "sh", "md"];
        let files: Vec<_> = ends.iter().map(|end| file(&format!("a.{end}"), &*text)).collect();
        assert_eq!(too_long(&files).len(), 4);
        assert!(too_long(&[file("a.rs", "x\n".repeat(LINES))]).is_empty());
        assert_eq!(mod_files(&[file("src/a/mod.rs", ""), file("src/a.rs", "")]).len(), 1);
    }

    #[test]
    fn a_root_that_forbids_nothing_is_found() {
        assert!(allows_unsafe("egret-core", "lib.rs", "//! x\n#![forbid(unsafe_code)]").is_none());
        assert!(allows_unsafe("egret-core", "lib.rs", "//! #![forbid(unsafe_code)]").is_some());
        assert!(allows_unsafe("egret-datapath", "lib.rs", "").is_none());
    }

    #[test]
    fn a_shell_is_told_from_a_crate() {
        assert!(is_shell("//! A description.\n#![forbid(unsafe_code)]\n\npub fn main() {}\n"));
        assert!(!is_shell(&"pub fn one() {}\n".repeat(10)));
    }

    #[test]
    fn a_program_without_a_time_limit_is_found_where_a_node_runs_it() {
        let runs = "use std::process::{Command, Stdio};\n";
        let tested = format!("#[cfg(test)]\nmod tests {{ {runs} }}");
        let found = unlimited_children(&[
            file("src/agent/src/one.rs", runs),
            file("src/agent/src/two.rs", "std::process::exit(1)"),
            file("src/agent/src/three.rs", tested),
            file("src/agent/src/four/tests.rs", runs),
            file("tests/lab/src/five.rs", runs),
            file(CHILDREN, runs),
        ]);
        assert!(found.len() == 1 && found[0].starts_with("src/agent/src/one.rs: "), "{found:?}");
    }

    #[test]
    fn words_are_found_with_their_line() {
        let paths = format!("a\nb {}{}x", "/wor", "k/");
        let found = words(&[file("README.md", paths)]);
        assert!(found.len() == 1 && found[0].starts_with("README.md:2: "), "{found:?}");
        let host = format!("{}{}", "crates.", "io");
        assert!(words(&[file("Cargo.lock", &*host)]).is_empty());
        assert_eq!(words(&[file("README.md", &*host)]).len(), 1);
        let mark = format!("// {}{}: later", "TO", "DO");
        assert_eq!(words(&[file("x.rs", &*mark)]).len(), 1);
        assert!(words(&[file("README.md", &*mark)]).is_empty(), "prose may speak of it");
    }
}
