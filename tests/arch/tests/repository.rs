//! The rules, over this repository.

use std::sync::OnceLock;

use egret_arch::repository::{Package, crates, files, metadata, root};
use egret_arch::rust::RustFile;
use egret_arch::{circles, citations, layers, manifests, names, rust, sources, unused};

fn none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

fn relative(path: &std::path::Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// All Rust source of a package.
fn code(package: &Package) -> String {
    let manifest = relative(&package.manifest_path);
    let folder = manifest.trim_end_matches("Cargo.toml");
    let files = files().into_iter();
    let own = files.filter(|file| file.path.starts_with(folder) && file.path.ends_with(".rs"));
    own.map(|file| file.text).collect()
}

#[test]
fn crates_depend_only_on_lower_layers() {
    let workspace = metadata();
    assert!(workspace.packages.iter().any(|package| package.name == "egret-core"));
    none("layers", layers::violations(&workspace.packages));
}

#[test]
fn versions_and_lints_have_one_place() {
    let found = metadata().packages.into_iter().flat_map(|package| {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        manifests::violations(&relative(&package.manifest_path), &manifest)
    });
    none("manifests", found.collect());
}

#[test]
fn unsafe_is_forbidden_where_it_is_not_needed() {
    let mut found = Vec::new();
    for package in metadata().packages {
        let roots = package.targets.iter().filter(|target| {
            target.kind.iter().any(|kind| ["lib", "bin", "proc-macro"].contains(&kind.as_str()))
        });
        for target in roots {
            let text = std::fs::read_to_string(&target.src_path).unwrap();
            let path = relative(&target.src_path);
            found.extend(sources::allows_unsafe(&package.name, &path, &text));
        }
    }
    none("unsafe", found);
}

#[test]
fn no_crate_is_an_empty_shell() {
    let shells =
        metadata().packages.into_iter().filter(|package| sources::is_shell(&code(package)));
    none("crates without content", shells.map(|package| package.name).collect());
}

#[test]
fn source_files_are_short_and_named_after_their_modules() {
    let files = files();
    assert!(files.len() > 50, "git lists only {} files", files.len());
    none("too long", sources::too_long(&files));
    none("mod.rs", sources::mod_files(&files));
}

#[test]
fn no_node_runs_a_program_without_a_time_limit() {
    none("programs", sources::unlimited_children(&files()));
}

#[test]
fn no_file_names_this_machine_a_registry_or_unfinished_work() {
    none("words", sources::words(&files()));
}

#[test]
fn what_files_name_is_there() {
    let files = files();
    none("pages", citations::missing_pages(&files));
    none("rules and decisions", citations::numbers_without_page(&files));
}

/// All Rust of the workspace but its tests, which takes longer to parse than to check.
fn parsed() -> &'static [RustFile] {
    static PARSED: OnceLock<Vec<RustFile>> = OnceLock::new();
    PARSED.get_or_init(|| {
        let parsed = rust::sources(&files()).unwrap_or_else(|error| panic!("{error}"));
        assert!(parsed.len() > 300, "only {} files are Rust", parsed.len());
        parsed
    })
}

#[test]
fn no_crate_imports_in_circles() {
    let crates = crates();
    let core = circles::edges(parsed(), "src/core");
    assert!(core.len() > 50, "only {} files of egret-core use another", core.len());
    none("circles", circles::violations(parsed(), &crates));
}

#[test]
fn one_name_has_one_meaning() {
    let old = names::old_names(&read(names::PAGE)).unwrap_or_else(|error| panic!("{error}"));
    none("types of one name", names::twice(parsed(), names::TWICE));
    none("old names", names::come_back(parsed(), &old, names::OLD));
}

#[test]
fn every_public_item_is_used() {
    none("unused", unused::violations(parsed(), unused::UNUSED));
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text between `before` and `after` in a file.
fn between(path: &str, before: &str, after: &str) -> String {
    let text = read(path);
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("{path}: no `{before}`"));
    rest.split_once(after).unwrap_or_else(|| panic!("{path}: no `{after}`")).0.to_owned()
}

#[test]
fn the_readme_names_what_make_checks_before_it_starts() {
    let script = "tests/prerequisites.sh";
    let rust = between("rust-toolchain.toml", "channel = \"", "\"");
    let go = between("tests/kubernetes/cluster/go.mod", "\ngo ", ".0\n");
    let kernel = between(script, "kernel=", "\n");
    let machine = |which: &str| {
        let memory = between(script, &format!("{which}) memory="), " ");
        let disk = between(script, &format!("{which}) memory={memory} disk="), " ");
        format!("2, {memory} GiB, {disk} GiB |")
    };
    let readme = read("README.md");
    let (demo, test) = (machine("  *"), machine("test | kubernetes"));
    for fact in [&format!("Rust {rust} "), &format!(" {go} or later"), &format!("Linux {kernel} ")]
        .into_iter()
        .chain([&demo, &test])
    {
        assert!(readme.contains(fact.as_str()), "README.md does not say `{fact}`");
    }
}
